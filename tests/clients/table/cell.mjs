// One cell of the table: a client, a transport, and what both agree on; and what is known of the client
// that is not for a server to mend.

import { VERSIONS } from "../clients.mjs";

export class Cell {
  constructor(urls, generation, transport, framing, protocol) {
    Object.assign(this, { urls, generation, transport, framing, protocol });
    const on = (is) => (is ? "on " : "off");
    this.name = `${VERSIONS[generation].padEnd(6)} ${transport.padEnd(12)} ${on(framing)} ${on(protocol)}`;
  }

  get isLegacy() {
    return this.generation < 5;
  }

  get polls() {
    return this.transport === "long-polling";
  }

  /** Whether the client has an id to come back with: it learns it from the handshake only. */
  get hasId() {
    return this.protocol;
  }

  /** Whether the client shows that it is there: by long polling, 5.0.45 begins before it knows how often. */
  get beats() {
    return this.protocol && (this.isLegacy || !this.polls);
  }

  /** Up to 4.0.1 they tell of their opening again with the first message, if there is no handshake. */
  get opensTwice() {
    return this.isLegacy && !this.protocol && ["websocket", "sse"].includes(this.transport);
  }

  /** Without lengths, a streamed response is to its client one message for whatever arrives at once. */
  get glues() {
    return this.transport === "streaming" && !this.framing;
  }

  /** What the application is told for a text, or `null` if the client keeps it to itself. */
  seen(text) {
    // An event's line ends are all the same to an EventSource.
    const came = this.transport === "sse" ? text.replace(/\r\n?/g, "\n") : text;
    // Up to 4.0.1 they trim, and drop what is blank then.
    if (this.isLegacy) return came.trim() === "" ? null : came.trim();
    // 5.0.45 drops an empty text that comes without its length, and a poll's answer that is blank.
    if (!this.framing && (came === "" || (this.polls && came.trim() === ""))) return null;
    return came;
  }
}

export function cells(urls) {
  const all = [];
  for (const generation of [2, 3, 4, 5]) {
    for (const transport of ["websocket", "sse", "streaming", "long-polling"]) {
      for (const framing of [true, false]) {
        for (const protocol of [true, false]) all.push(new Cell(urls, generation, transport, framing, protocol));
      }
    }
  }
  return all;
}
