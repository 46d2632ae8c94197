// A client of the atmosphere protocol over WebSocket: all that a page needs, in one small file.
//
// The server names the session in a handshake, `<id>|<heartbeat ms>|<heartbeat text>|`; after a cut
// the socket comes back with that name, to the same node or to another, and is given what it missed.
// Every text comes as `<n>|<text>`, where n counts UTF-16 units, which is what a string's length is here.

const FIRST_DELAY_MS = 100;
const LONGEST_DELAY_MS = 5000;
const CONNECT_LIMIT_MS = 4000;
const SERVER_HEARTBEAT_S = 25;
const SILENCE_LIMIT_MS = 65_000;

/**
 * One session in one room, on whichever node will have it.
 *
 * - `path`: the path of the room, such as "/chat/lobby".
 * - `endpoints()`: where nodes listen, as "host:port", the preferred first. Asked before every attempt.
 * - `onOpen(endpoint)`: the session is attached; called again after each reconnection.
 * - `onLost()`: the connection is gone, and another is being made.
 * - `onMessage(text)`: a message. At a reconnection one may come that had come before.
 */
export class RoomSocket {
  constructor({ path, endpoints, onOpen, onLost, onMessage }) {
    Object.assign(this, { path, endpoints, onOpen, onLost, onMessage });
    this.id = "0";
    this.attached = false;
    this.closed = false;
    // How many attempts failed since the last connection.
    this.failures = 0;
    this.endpoint = endpoints()[0];
    this.connect();
  }

  /** Sends a text; false if there is no connection now. */
  send(text) {
    if (!this.attached || this.socket.readyState !== WebSocket.OPEN) return false;
    this.socket.send(text);
    return true;
  }

  /** Tries again now rather than when its time comes. */
  hurry() {
    if (this.closed || this.attached || this.retry === undefined) return;
    clearTimeout(this.retry);
    this.retry = undefined;
    this.connect();
  }

  /** Leaves for good. What was sent before still goes out. */
  close() {
    this.closed = true;
    this.forget();
    clearTimeout(this.retry);
    this.socket?.close(1000);
  }

  connect() {
    this.retry = undefined;
    const { endpoint } = this;
    const socket = new WebSocket(this.address(endpoint));
    const frames = new Frames();
    let greeted = false;
    this.socket = socket;
    this.limit = setTimeout(() => this.abandon(socket), CONNECT_LIMIT_MS);

    socket.onmessage = ({ data }) => {
      if (this.socket !== socket || this.closed) return;
      this.listen(socket);
      let texts;
      try {
        texts = frames.read(data);
      } catch {
        this.abandon(socket);
        return;
      }
      for (const text of texts) {
        if (this.closed) return;
        if (greeted) {
          if (text !== this.heartbeat) this.onMessage(text);
        } else if (this.greet(text)) {
          greeted = true;
          this.onOpen(endpoint);
        } else {
          this.abandon(socket);
          return;
        }
      }
    };
    socket.onclose = () => this.lost(socket);
  }

  address(endpoint) {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const query = new URLSearchParams({
      "X-Atmosphere-tracking-id": this.id,
      "X-Atmosphere-Framework": "5.0.0",
      "X-Atmosphere-Transport": "websocket",
      "X-Atmosphere-TrackMessageSize": "true",
      "X-Heartbeat-Server": String(SERVER_HEARTBEAT_S),
      "X-atmo-protocol": "true",
    });
    return `${scheme}://${endpoint}${this.path}?${query}`;
  }

  greet(text) {
    const handshake = /^([A-Za-z0-9_-]{1,128})\|(\d{1,9})\|([^|]*)\|$/.exec(text);
    if (handshake === null) return false;
    const [, id, interval, heartbeat] = handshake;
    this.id = id;
    this.heartbeat = heartbeat;
    this.attached = true;
    this.failures = 0;
    clearTimeout(this.limit);
    clearInterval(this.beat);
    if (Number(interval) > 0) this.beat = setInterval(() => this.send(heartbeat), Number(interval));
    return true;
  }

  /** The server says something at least every heartbeat; one that does not is taken for gone. */
  listen(socket) {
    clearTimeout(this.silence);
    this.silence = setTimeout(() => this.abandon(socket), SILENCE_LIMIT_MS);
  }

  /** Gives a connection up without waiting for the other side's farewell, which may never come. */
  abandon(socket) {
    socket.onmessage = null;
    socket.onclose = null;
    socket.close();
    this.lost(socket);
  }

  lost(socket) {
    if (this.socket !== socket || this.closed) return;
    const attached = this.attached;
    this.forget();
    const endpoints = this.endpoints();
    if (!attached) {
      // The node that we were on came first: most often only the connection is cut. Now the next.
      this.endpoint = endpoints[(endpoints.indexOf(this.endpoint) + 1) % endpoints.length];
      this.failures += 1;
    }
    const rounds = Math.floor(this.failures / endpoints.length);
    const delay = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.min(rounds, 10));
    this.retry = setTimeout(() => this.connect(), delay * (0.5 + Math.random() / 2));
    if (attached) this.onLost();
  }

  forget() {
    this.attached = false;
    clearTimeout(this.limit);
    clearTimeout(this.silence);
    clearInterval(this.beat);
  }
}

/** Takes `<n>|<text>` frames apart, however they were cut and joined on their way. */
class Frames {
  rest = "";

  read(chunk) {
    if (typeof chunk !== "string") throw new Error("a binary message");
    const texts = [];
    let data = this.rest + chunk;
    for (let bar = data.indexOf("|"); bar !== -1; bar = data.indexOf("|")) {
      const length = data.slice(0, bar);
      if (!/^\d{1,9}$/.test(length)) throw new Error("not a length");
      const end = bar + 1 + Number(length);
      if (end > data.length) break;
      texts.push(data.slice(bar + 1, end));
      data = data.slice(end);
    }
    this.rest = data;
    return texts;
  }
}
