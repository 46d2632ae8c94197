// One client of the table, in a room of its own, and who else is in that room.

import { bare, brief, check, fresh, subscribe, until } from "../clients.mjs";
import { Door } from "./door.mjs";

/** A cell does not apply, and why. */
export class NotApplicable extends Error {}

let rooms = 0;

/** A room, seen from the second node: who publishes there, and what the handlers tell. */
export class Room {
  static async open(cell, scenario) {
    const room = new Room();
    room.urls = cell.urls;
    room.name = `${cell.name.replace(/[^a-z0-9.]+/g, "-")}-${scenario}-${process.pid}-${++rooms}`;
    room.path = `/chat/${room.name}`;
    // In this order, so that what is told is not of the publisher.
    room.publisher = await bare(`${cell.urls[1]}${room.path}`);
    room.told = await bare(`${cell.urls[1]}/told/${room.name}`);
    return room;
  }

  /** What everybody in the room has seen. */
  get published() {
    return this.publisher.received;
  }

  publish(...texts) {
    for (const text of texts) this.publisher.push(text);
  }

  /** Publishes, and waits until it is in the topic. */
  async publishes(...texts) {
    const before = this.published.length;
    this.publish(...texts);
    await until(() => this.published.length >= before + texts.length, 20_000, "the room has what was published");
  }

  /** How often a handler was told this. */
  heard(what) {
    return this.told.received.filter((text) => text.startsWith(what)).length;
  }

  async hears(what, count = 1) {
    await until(() => this.heard(what) >= count, 20_000, () => `"${what}" is told ${count} times; told: ${this.told.received}`);
  }

  close() {
    this.publisher.close();
    this.told.close();
  }
}

/** A client through a door. */
export class Subject {
  received = [];
  events = [];
  /** Called when the client tells of an event, at once. */
  notices = () => {};

  static async open(cell, scenario, more = {}, prepare = () => {}) {
    const subject = new Subject();
    subject.cell = cell;
    subject.room = await Room.open(cell, scenario);
    subject.door = await Door.to(cell.urls[0]);
    prepare(subject.door);
    const options = {
      transport: cell.transport,
      fallbackTransport: cell.transport,
      trackMessageLength: cell.framing,
      enableProtocol: cell.protocol,
      contentType: "text/plain",
      webSocketBinaryType: "arraybuffer",
      maxReconnectOnClose: 50,
      ...more,
    };
    const on = {
      message: (text) => subject.received.push(text),
      event: (name, detail) => {
        subject.events.push(detail ? `${name} ${detail}` : name);
        subject.notices();
      },
    };
    const page = cell.isLegacy ? fresh(cell.generation) : undefined;
    subject.client = await subscribe(cell.generation, subject.door.url(subject.room.path), on, options, page);
    if (cell.polls && cell.hasId) await subject.door.answers(2);
    await subject.room.hears("ready");
    return subject;
  }

  push(text) {
    return this.client.push(text);
  }

  count(event) {
    return this.events.filter((name) => name.split(" ")[0] === event).length;
  }

  /**
   * Waits until the client has all of `texts` since `from`, and checks that it has nothing else. Where
   * the client glues what comes together, only what it has in all can be compared.
   */
  async has(texts, from = 0) {
    const expected = texts.map((text) => this.cell.seen(text)).filter((text) => text !== null);
    const all = expected.join("");
    const got = () => this.received.slice(from);
    const enough = this.cell.glues ? () => got().join("").length >= all.length : () => got().length >= expected.length;
    await until(enough, 30_000, () => `the client has ${got().length} of ${expected.length} messages, at last ${brief(got().at(-1) ?? "")}; events ${this.events}`);
    if (this.cell.glues) check(got().join("") === all, `received ${brief(got().join(""))} for ${brief(all)}`);
    else this.#same(got(), expected);
  }

  /**
   * The same after a return, when what came before it may come again: the sequence may step back once,
   * and never forward over a message. Returns how many came again.
   */
  async hasAtLeast(texts, returns) {
    const expected = texts.map((text) => this.cell.seen(text));
    if (this.cell.glues) {
      const last = expected.at(-1);
      await until(() => this.received.join("").endsWith(last), 30_000, () => `the client has ${brief(last)}; it has ${brief(this.received.join(""))}`);
      return this.#again(this.#split(expected), expected, returns);
    }
    await until(() => this.received.at(-1) === expected.at(-1), 30_000, () => `the client has the last of ${expected.length} messages; it has ${brief(this.received.at(-1) ?? "")}; events ${this.events}`);
    return this.#again(this.received, expected, returns);
  }

  /** What was glued, taken apart: no text here is the beginning of another. */
  #split(expected) {
    let rest = this.received.join("");
    const parts = [];
    while (rest.length > 0) {
      const next = expected.find((text) => rest.startsWith(text));
      check(next !== undefined, `received what nobody published: ${brief(rest)}`);
      parts.push(next);
      rest = rest.slice(next.length);
    }
    return parts;
  }

  #again(received, expected, returns) {
    let [next, steps] = [0, 0];
    for (const text of received) {
      const place = expected.indexOf(text);
      check(place >= 0, `received what nobody published: ${brief(text)}`);
      check(place <= next, `received message ${place} where ${next} was next`);
      if (place < next) steps++;
      next = place + 1;
    }
    check(next === expected.length, `received ${next} of ${expected.length} messages`);
    check(steps <= returns, `received messages again ${steps} times, and came back ${returns} times`);
    return received.length - expected.length;
  }

  #same(received, expected) {
    const wrong = expected.findIndex((text, at) => received[at] !== text);
    check(wrong < 0, `message ${wrong} should be ${brief(expected[wrong] ?? "")} and is ${brief(received[wrong] ?? "")}`);
    check(received.length === expected.length, `after the last there is also ${brief(received[expected.length] ?? "")}`);
  }

  /** Publishes one more message, which must be all that the client has after `texts`. */
  async ends(texts, from = 0) {
    await this.room.publishes("the end");
    await this.has([...texts, "the end"], from);
  }

  /** Publishes `text`, which must be all that the client has, but for what it may have glued to it. */
  async follows(text, glued) {
    await this.room.publishes(text);
    await until(() => this.received.join("").endsWith(text), 30_000, () => `the client has ${brief(text)}; it has ${brief(this.received.join(""))}`);
    const all = this.received.join("");
    check(all === text || all === `${glued}${text}`, `received ${brief(all)}`);
  }

  /** The client was opened, and that was all. */
  quiet() {
    const [first, ...more] = this.events;
    const rest = this.cell.opensTwice && more[0] === "open" ? more.slice(1) : more;
    check(first === "open" && rest.length === 0, `the events are ${this.events}`);
  }

  close() {
    // Some throw if they are not connected just then, which is no matter here.
    Promise.resolve()
      .then(() => this.client.close())
      .catch(() => {});
    this.room.close();
    this.door.close();
  }
}
