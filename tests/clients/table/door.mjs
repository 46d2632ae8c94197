// A TCP proxy that a client of the table goes through, which writes down what the client asks for
// and what it is named, and can get in its way.

import net from "node:net";

import { until } from "../clients.mjs";

const HANDSHAKE = /([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\|\d+\|X\|/g;

/** How often the clients of the table show that they are there, instead of once a minute. */
const BEAT_MS = "02000";

export class Door {
  /** The requests for a stream, a poll or an upgrade, each with the tracking id that it names. */
  asked = [];
  /** The tracking ids in the handshakes that passed. */
  named = [];
  /** What the server sent, as Latin-1: what is looked for in it is ASCII. */
  heard = "";

  #pairs = new Set();
  #held = null;
  #server;
  #target;
  #upgrades = true;
  #isCutting = false;

  static async to(url) {
    const door = new Door();
    door.#target = new URL(url);
    door.#server = net.createServer((near) => door.#enter(near));
    await new Promise((resolve) => door.#server.listen(0, "127.0.0.1", resolve));
    return door;
  }

  /** `path` as it is reached through this. */
  url(path) {
    return `http://127.0.0.1:${this.#server.address().port}${path}`;
  }

  /** Resets all connections, with no farewell, as when a machine goes; and whoever comes, until `hold`. */
  cut() {
    this.#isCutting = true;
    for (const pair of this.#pairs) pair.forEach((socket) => socket.resetAndDestroy());
  }

  /** What clients send from now on waits for `release`. */
  hold() {
    this.#isCutting = false;
    this.#held ??= [];
  }

  release() {
    const held = this.#held ?? [];
    this.#held = null;
    for (const pass of held) pass();
  }

  /** How much waits. */
  get held() {
    return this.#held?.length ?? 0;
  }

  /** From now on, connections go to another server. */
  target(url) {
    this.#target = new URL(url);
  }

  /** From now on, requests for a WebSocket are answered with 501. */
  refuseUpgrades() {
    this.#upgrades = false;
  }

  /** Lets nobody in any more. The port is kept: some clients never stop asking, and would ask another door. */
  close() {
    this.cut();
  }

  /** Waits until so many answers have begun: the server knows of the requests. */
  async answers(count) {
    const begun = () => this.heard.split("HTTP/1.1 200").length - 1;
    await until(() => begun() >= count, 15_000, () => `${count} answers begin; ${begun()} have`);
  }

  /** Waits for so many requests whose answer is waited for. */
  async asks(count) {
    await until(() => this.asked.length >= count, 15_000, () => `the client asks ${count} times; it asked ${this.asked.length} times`);
  }

  #enter(near) {
    if (this.#isCutting) {
      near.on("error", () => {});
      near.resetAndDestroy();
      return;
    }
    const pair = [near];
    this.#pairs.add(pair);
    this.#couple(pair, near);
    near.on("data", (data) => this.#pass(pair, data));
  }

  /** Where what comes from the client goes. The server is asked only then: it does not wait for long. */
  #far(pair) {
    const [near] = pair;
    if (pair.length === 1) {
      const far = net.connect(Number(this.#target.port), this.#target.hostname);
      pair.push(far);
      this.#couple(pair, far);
      far.on("data", (data) => near.write(this.#note(data)));
    }
    return pair[1];
  }

  /** What ends or breaks on one side does so on the other. */
  #couple(pair, socket) {
    const others = () => pair.filter((other) => other !== socket);
    socket.setNoDelay(true);
    socket.on("error", () => {});
    socket.on("end", () => others().forEach((other) => other.end()));
    socket.on("close", () => {
      others().forEach((other) => other.destroy());
      this.#pairs.delete(pair);
    });
  }

  #pass(pair, data) {
    const [near] = pair;
    const [, method, path] = /^(GET|POST) (\S+) HTTP/.exec(data.toString("latin1", 0, 2048)) ?? [];
    if (method === "GET") {
      const query = new URL(path, "http://door").searchParams;
      const transport = query.get("X-Atmosphere-Transport");
      if (transport !== "close") this.asked.push(query.get("X-Atmosphere-tracking-id"));
      if (transport === "websocket" && !this.#upgrades) {
        near.end("HTTP/1.1 501 Not Implemented\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        return;
      }
    }
    const pass = () => {
      if (!near.destroyed) this.#far(pair).write(data);
    };
    if (this.#held) this.#held.push(pass);
    else pass();
  }

  #note(data) {
    let text = data.toString("latin1");
    if (text.includes("|60000|X|")) {
      for (const [, id] of text.matchAll(HANDSHAKE)) this.named.push(id);
      text = text.replaceAll("|60000|X|", `|${BEAT_MS}|X|`);
    }
    if (this.heard.length < 64 * 1024) this.heard += text;
    return Buffer.from(text, "latin1");
  }
}
