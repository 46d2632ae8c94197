// exosphere.js: a client of exosphere nodes that loses nothing and hears nothing twice.
//
//   const client = exosphere.connect("/chat/lobby", { onMessage: (message) => show(message) });
//   await client.push("hello");
//
// Load it as a classic script, which makes the global `exosphere`, or import `exosphere.mjs`. What
// there is, is declared in `exosphere.d.ts`. The frames on the wire are those of `postman.rs`.
//
// From the top: what a page uses (`connect`, `plug`), a client on connections of its own (`Client`),
// what these are (`Socket`, `Requests`), what is said on any connection (`Postman`, with its `Outbox`,
// `Inbox` and `Seen`), and what a page keeps across a reload (`Slot`, `Store`).

(() => {
  "use strict";

  const VERSION = 1;

  // How many pushes are on their way at once; a node takes twice as many before it must wait.
  const WINDOW = 32;
  // How many pushes wait. At the limit another is refused.
  const PUSHES_LIMIT = 10_000;
  // The longest frame that a node takes, in bytes.
  const FRAME_LIMIT_BYTES = 1 << 20;
  // How long pushes that are posted together may be, unless it is one alone.
  const BATCH_LIMIT = 1 << 16;
  // How many messages wait for the application. At the limit the connection is given up until they
  // are told: what was not confirmed comes again.
  const INBOX_LIMIT = 10_000;
  // How many pairs of a topic and an origin are remembered, and how many causes.
  const MARKS_LIMIT = 4096;
  const CAUSES_LIMIT = 16384;
  // How many of them are kept across a reload: they are written after each message.
  const CAUSES_KEPT = 64;

  const ACK_INTERVAL_MS = 5000;
  const LONGEST_ACK_INTERVAL_MS = 60_000;
  const FIRST_DELAY_MS = 100;
  const LONGEST_DELAY_MS = 5000;
  const CONNECT_LIMIT_MS = 5000;
  // How often all nodes have to fail until a transport that worked before is taken to be blocked.
  const ROUNDS_UNTIL_BLOCKED = 4;
  // How long a confirmation waits for a push to go with, how long a post may take, and how long what
  // was not taken waits until it is posted again.
  const CONFIRM_AFTER_MS = 100;
  const POST_LIMIT_MS = 15_000;
  const POST_AGAIN_MS = 50;
  const LONGEST_POST_AGAIN_MS = 1000;
  // How often a node is asked to show that it is there, and how long it may be silent.
  const HEARTBEAT_S = 25;
  const SILENCE_LIMIT_MS = 65_000;
  const LOOK_EVERY_MS = 5000;
  // How long a page that is loaded again waits for the one that it was to let go.
  const RELOAD_PATIENCE_MS = 1000;
  const ELECTION_MS = 150;
  const SLOTS = 16;

  // Close codes after which there is nothing to come back for, and those of a session that is no
  // longer ours.
  const FINAL = [1000, 1002, 1003, 1007, 1008, 1009, 4403];
  const SUPERSEDED = 4409;
  // What a connection ends with that nobody closed, and the codes that answers to requests stand for.
  const BROKEN = 1006;
  const CODE_OF = { 400: 1002, 403: 4403, 410: 1000, 503: 1001 };

  // What a page uses

  /** Connects to one of these URLs, all of one path. Goes on until it is closed, whatever breaks. */
  function connect(urls, options = {}) {
    return new Client(urls, options);
  }

  /**
   * Subscribes with a stock atmosphere.js of generation 2, 3 or 5, as `request` says, and speaks
   * postman over the connection that it makes.
   */
  function plug(atmosphere, request, options = {}) {
    const { handlers = {}, ...rest } = options;
    const onMessage = options.onMessage ?? ((message) => hear?.({ responseBody: message }));
    let socket = null;
    const early = [];
    const send = (text) => {
      try {
        // Generation 5 may also say later that the connection was gone: what is not acknowledged is
        // sent again on the next.
        Promise.resolve(socket.push(text)).catch(() => {});
        return true;
      } catch {
        return false;
      }
    };
    const postman = new Postman({ ...rest, onMessage }, { send });
    const receive = (text) => {
      if (socket === null) early.push(text);
      else if (text.startsWith("{")) postman.receive(text);
    };
    const message = (response) => receive(response.responseBody);
    const losing = (name, own) => (...args) => {
      postman.lost();
      return own?.[name]?.(...args);
    };
    const url = `${request.url}${request.url.includes("?") ? "&" : "?"}X-Exosphere-Postman=${VERSION}`;
    const legacy = atmosphere.util !== undefined;
    const hear = legacy ? request.onMessage : handlers.message;
    const subscribed = legacy
      ? atmosphere.subscribe({ ...request, url, onMessage: message, onReconnect: losing("onReconnect", request), onClose: losing("onClose", request) })
      : atmosphere.subscribe({ ...request, url }, { ...handlers, message, reconnect: losing("reconnect", handlers), close: losing("close", handlers) });
    const ready = Promise.resolve(subscribed).then((opened) => {
      socket = opened;
      for (const text of early.splice(0)) receive(text);
      return opened;
    });
    ready.catch((error) => postman.fail(error));
    return {
      push: (message) => postman.push(message),
      close: () => {
        postman.close(new Error("the client was closed"));
        return ready.then((opened) => opened.close());
      },
      get pending() {
        return postman.outbox.pushes.length;
      },
    };
  }

  // A client on connections of its own

  class Client {
    #options;
    #urls;
    #transports;
    #postman;
    #wire = null;
    #state = "connecting";
    #at = 0;
    /** Where a node has sent this client last, which need not be among the URLs: tried in turns with them. */
    #elsewhere = null;
    #by = 0;
    // The best transport that was greeted on.
    #best = null;
    #failures = 0;
    #retry = null;
    #limit = null;
    #look = null;
    #heard = 0;
    #slot = null;
    #unlisten = () => {};

    constructor(urls, options) {
      this.#options = options;
      this.#urls = [urls].flat().map(toHttpUrl);
      if (this.#urls.length === 0) throw new TypeError("there is no URL to connect to");
      this.#transports = (options.transports ?? Object.keys(TRANSPORTS)).filter((name) => TRANSPORTS[name].isThere());
      if (this.#transports.length === 0) throw new TypeError("there is no transport to connect by");
      this.#postman = new Postman(options, {
        send: (text, key) => this.#wire?.send(text, key) ?? false,
        onHello: (expired, series) => this.#open(expired, series),
        onClose: (code, reason) => this.#lost(code, reason),
        onDoubt: (since) => this.#heard < since && this.#abandon(),
      });
      if (options.persist === undefined) this.#begin();
      else this.#restore(options.persist);
    }

    /** Sends a message to the handler. Resolves once it is stored: `{ key, level, nodes }`. */
    push(message) {
      return this.#postman.push(message);
    }

    /** Ends the session. What was not acknowledged is rejected. */
    close() {
      this.#end(new Error("the client was closed"));
    }

    get state() {
      return this.#state;
    }

    /** How it is connected, or was last. */
    get transport() {
      return this.#transports[this.#by];
    }

    get session() {
      return this.#postman.session;
    }

    get node() {
      return this.#postman.node;
    }

    /** How many pushes are not acknowledged. */
    get pending() {
      return this.#postman.outbox.pushes.length;
    }

    async #restore(name) {
      try {
        this.#slot = await Slot.take(name);
        if (this.#slot !== null) await this.#postman.restore(this.#slot.store);
      } catch (error) {
        this.#postman.fail(error);
      }
      if (this.#state === "closed") this.#slot?.leave();
      else this.#begin();
    }

    #begin() {
      this.#look = setInterval(() => this.#checkSilence(), LOOK_EVERY_MS);
      this.#look.unref?.();
      this.#unlisten = listen(globalThis, {
        online: () => this.#online(),
        offline: () => this.#state === "reconnecting" && this.#tell("offline"),
        pageshow: () => this.#hurry(),
        pagehide: (event) => this.#hide(event),
        visibilitychange: () => this.#hurry(),
      });
      this.#connect();
    }

    #connect() {
      this.#retry = null;
      const url = this.#candidates[this.#at];
      this.#heard = now();
      this.#limit = setTimeout(() => this.#abandon(), CONNECT_LIMIT_MS);
      this.#wire = TRANSPORTS[this.transport].open((more) => this.#address(url, more), {
        heard: () => (this.#heard = now()),
        receive: (text) => this.#receive(text),
        lost: (code, reason) => this.#lost(code, reason),
        credentials: this.#options.credentials,
      });
    }

    #address(base, more) {
      const { session, position } = this.#postman;
      const url = new URL(base);
      const query = {
        "X-Exosphere-Postman": VERSION,
        "X-Atmosphere-tracking-id": session ?? "0",
        "X-Heartbeat-Server": HEARTBEAT_S,
        ...(position !== null && { "X-Exosphere-Position": position }),
        ...more,
      };
      for (const name in query) url.searchParams.set(name, query[name]);
      return url;
    }

    #receive(text) {
      try {
        this.#postman.receive(text);
      } catch (error) {
        this.#postman.fail(error);
        this.#abandon();
        return;
      }
      if (this.#postman.inbox.isFull) this.#abandon(true);
    }

    #open(expired, series) {
      this.#wire.join(series);
      clearTimeout(this.#limit);
      this.#failures = 0;
      this.#best = Math.min(this.#best ?? this.#by, this.#by);
      if (expired) this.#options.onState?.("expired");
      this.#tell("connected");
    }

    #lost(code, reason) {
      this.#wire?.close();
      if (FINAL.includes(code)) {
        this.#end(Object.assign(new Error(reason || `closed with ${code}`), { code }));
        return;
      }
      // Who has it now keeps it: taking it back would go on for ever.
      if (code === SUPERSEDED) {
        this.#postman.forgetSession();
        this.#options.onState?.("superseded");
      }
      this.#comeBack(code !== 1001, code === 1001 ? this.#destination(reason) : null);
    }

    /** The URL that a close with this reason sends to, of the same path on another node. */
    #destination(reason) {
      const origin = /^go to (https?:\/\/\S+)$/.exec(reason ?? "")?.[1];
      if (origin === undefined || !URL.canParse(origin)) return null;
      const url = new URL(this.#candidates[this.#at]);
      const { protocol, host } = new URL(origin);
      return Object.assign(url, { protocol, host }).href;
    }

    /** Where it may connect. */
    get #candidates() {
      return this.#elsewhere === null ? this.#urls : [...this.#urls, this.#elsewhere];
    }

    /** Gives a connection up without waiting for a farewell, which may never come. */
    #abandon(sameFirst = false) {
      if (this.#wire === null) return;
      this.#wire.close();
      this.#comeBack(sameFirst);
    }

    /** Comes back, to the same node first if that may only have lost the connection. */
    #comeBack(sameFirst, elsewhere = null) {
      this.#wire = null;
      clearTimeout(this.#limit);
      const was = this.#state;
      if (was === "connected" && elsewhere !== null) {
        this.#elsewhere = elsewhere;
        this.#at = this.#urls.length;
      } else if (was !== "connected" || !sameFirst) {
        this.#at = (this.#at + 1) % this.#candidates.length;
        if (was !== "connected") this.#failures += 1;
      }
      this.#choose(was === "connected");
      this.#postman.lost();
      this.#schedule();
      if (was === "connected") this.#tell(globalThis.navigator?.onLine === false ? "offline" : "reconnecting");
    }

    /** The transport for the next attempt: another one, where none of the nodes could be reached. */
    #choose(wasConnected) {
      const rounds = this.#failures / this.#candidates.length;
      const patience = this.#best === null ? 1 : ROUNDS_UNTIL_BLOCKED;
      if (wasConnected) this.#by = this.#best;
      else if (Number.isInteger(rounds) && rounds >= patience) this.#by = (this.#by + 1) % this.#transports.length;
    }

    #schedule() {
      const rounds = Math.floor(this.#failures / this.#candidates.length);
      const delay = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.min(rounds, 10));
      this.#retry = setTimeout(() => {
        if (this.#postman.inbox.isFull) this.#schedule();
        else this.#connect();
      }, delay * (0.5 + Math.random() / 2));
    }

    /** Tries again now rather than when its time comes. */
    #hurry() {
      if (this.#retry === null || this.#postman.inbox.isFull) return;
      clearTimeout(this.#retry);
      this.#connect();
    }

    /** The network is back, perhaps another one, on which the old connection will never say anything. */
    #online() {
      if (this.#state === "offline") this.#tell("reconnecting");
      if (this.#state === "connected") this.#abandon(true);
      this.#hurry();
    }

    #hide({ persisted }) {
      // Nobody will come back for a session whose name is forgotten.
      if (!persisted && this.#slot === null) this.#wire?.close(1000);
    }

    #checkSilence() {
      if (this.#wire !== null && now() - this.#heard > SILENCE_LIMIT_MS) this.#abandon();
    }

    #end(why) {
      if (this.#state === "closed") return;
      const wire = this.#wire;
      this.#wire = null;
      clearTimeout(this.#retry);
      clearTimeout(this.#limit);
      clearInterval(this.#look);
      this.#unlisten();
      this.#retry = null;
      this.#postman.close(why);
      wire?.close(1000);
      this.#slot?.leave();
      this.#tell("closed", why);
    }

    #tell(state, why) {
      if (this.#state === state) return;
      this.#state = state;
      this.#options.onState?.(state, why);
    }
  }

  // Connections, each of which is used once: `heard` is called whenever something comes, `receive` with
  // each frame, and `lost` once with a code and a reason, unless it was closed before.

  class Socket {
    #socket;

    constructor(address, { heard, receive, lost }) {
      // With its protocol, a node that has nothing to say shows that it is there.
      const url = address({ "X-Atmosphere-Framework": "5.0.0", "X-atmo-protocol": "true" });
      url.protocol = url.protocol.replace("http", "ws");
      this.#socket = new WebSocket(url.href);
      this.#socket.onmessage = ({ data }) => {
        heard();
        // The handshake and the heartbeats of its protocol are no frames.
        if (typeof data === "string" && data.startsWith("{")) receive(data);
      };
      // A close follows, which says more.
      this.#socket.onerror = () => {};
      this.#socket.onclose = ({ code, reason }) => lost(code, reason);
    }

    send(text) {
      if (this.#socket.readyState !== WebSocket.OPEN) return false;
      this.#socket.send(text);
      return true;
    }

    join() {}

    close(code) {
      this.#socket.onmessage = this.#socket.onclose = null;
      this.#socket.close(code);
    }
  }

  /**
   * Requests that are one connection: an event stream or polls, which bring what the node says, and
   * posts, one after the other, which may reach any node.
   */
  class Requests {
    #address;
    #hooks;
    #ending = new AbortController();
    // What the node calls the requests that belong together, and how many answers to polls there were.
    #series = null;
    #had = 0;
    // What is to be posted: pushes until they are acknowledged, and the last confirmation.
    #pushes = [];
    #confirmation = null;
    #posting = null;
    #timer = null;

    constructor(address, hooks, isStreamed) {
      this.#address = address;
      this.#hooks = hooks;
      const reading = isStreamed ? this.#stream() : this.#poll();
      reading.catch((error) => this.#lose(BROKEN, error.message));
    }

    /** Without a key, it is a confirmation. */
    send(text, key) {
      if (key === undefined) {
        // Two may say the same, of two series.
        this.#confirmation = { text };
        this.#confirmLater();
      } else {
        if (!this.#pushes.some((push) => push.key === key)) this.#pushes.push({ key, text });
        this.#post();
      }
      return true;
    }

    /** The node has greeted. */
    join(series) {
      this.#series = series;
      this.#had = 0;
      // That was of another one.
      this.#confirmation = null;
    }

    close(code) {
      if (this.#isOver) return;
      this.#ending.abort();
      clearTimeout(this.#timer);
      const done = { method: "POST", keepalive: true };
      if (code === 1000) this.#fetch(this.#url({ "X-Atmosphere-Transport": "close" }), done).catch(() => {});
    }

    get #isOver() {
      return this.#ending.signal.aborted;
    }

    async #stream() {
      const answer = await this.#ask("sse");
      if (!answer.ok) return this.#refused(answer);
      const [reader, decoder] = [answer.body.getReader(), new TextDecoder()];
      let rest = "";
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return this.#lose(BROKEN, "the event stream ended");
        const lines = (rest + decoder.decode(value, { stream: true })).split("\n");
        rest = lines.pop();
        this.#read(lines);
      }
    }

    async #poll() {
      while (!this.#isOver) {
        const series = this.#series;
        const answer = await this.#ask("long-polling");
        if (!answer.ok) return this.#refused(answer);
        const lines = (await answer.text()).split("\n");
        if (!this.#read(lines) && answer.status === 200) throw new Error("that is no answer of a node");
        // One without content is not counted.
        if (answer.status === 200) this.#had += 1;
        // Another node has answered, and yet another may be asked next: it is to know what this one told.
        const hasMoved = series !== null && series !== this.#series;
        if (hasMoved && this.#confirmation !== null) await Promise.race([this.#post(), sleep(LONGEST_POST_AGAIN_MS)]);
      }
    }

    #ask(transport) {
      const url = this.#url({ "X-Atmosphere-Transport": transport });
      return this.#fetch(url, { cache: "no-store", signal: this.#ending.signal });
    }

    #fetch(url, init) {
      return fetch(url, { credentials: this.#hooks.credentials ?? "same-origin", ...init });
    }

    #url(query) {
      return this.#address({ ...query, ...(this.#series !== null && { "X-Exosphere-Series": `${this.#series}.${this.#had}` }) });
    }

    /** Takes the lines of events, each of which has one. Whether there were any. */
    #read(lines) {
      this.#hooks.heard();
      const events = lines.filter((line) => line.startsWith("data:"));
      for (const event of events) if (!this.#isOver) this.#hooks.receive(event.slice(5));
      return events.length > 0;
    }

    #refused(answer) {
      this.#lose(CODE_OF[answer.status] ?? BROKEN, answer.headers.get("X-Atmosphere-error") ?? `answered with ${answer.status}`);
    }

    #lose(code, reason) {
      if (this.#isOver) return;
      this.close();
      this.#hooks.lost(code, reason);
    }

    #confirmLater() {
      this.#timer ??= setTimeout(() => this.#post(), CONFIRM_AFTER_MS);
    }

    /** Posts what there is, until all of it is taken. */
    #post() {
      this.#posting ??= this.#postAll().finally(() => {
        this.#posting = null;
        if (this.#confirmation !== null && !this.#isOver) this.#confirmLater();
      });
      return this.#posting;
    }

    async #postAll() {
      clearTimeout(this.#timer);
      this.#timer = null;
      let failures = 0;
      do {
        const isTaken = await this.#postSome().catch(() => false);
        failures = isTaken ? 0 : failures + 1;
        if (!isTaken) await sleep(Math.min(LONGEST_POST_AGAIN_MS, POST_AGAIN_MS * 2 ** failures) * (0.5 + Math.random() / 2));
      } while (!this.#isOver && this.#pushes.length > 0);
    }

    /** Posts one batch. Whether something of it was taken. */
    async #postSome() {
      const lines = [];
      let length = 0;
      for (const { text } of this.#pushes) {
        if (lines.length > 0 && length + text.length > BATCH_LIMIT) break;
        lines.push(text);
        length += text.length;
      }
      // One that is as long as can be goes alone.
      const confirmation = length <= BATCH_LIMIT ? this.#confirmation : null;
      if (confirmation !== null) lines.unshift(confirmation.text);
      const limit = setTimeout(() => this.#lose(BROKEN, "a post was not answered"), POST_LIMIT_MS);
      const post = { method: "POST", body: lines.join("\n"), signal: this.#ending.signal };
      try {
        const answer = await this.#fetch(this.#url({}), post);
        const text = await answer.text();
        if (answer.status === 400) this.#lose(CODE_OF[400], text);
        if (!answer.ok) return false;
        this.#hooks.heard();
        if (confirmation !== null && this.#confirmation === confirmation) this.#confirmation = null;
        const acknowledged = text.split("\n").filter((line) => line !== "");
        this.#pushes.splice(0, acknowledged.length);
        for (const line of acknowledged) if (!this.#isOver) this.#hooks.receive(line);
        return true;
      } finally {
        clearTimeout(limit);
      }
    }
  }

  // The best first.
  const TRANSPORTS = {
    websocket: {
      isThere: () => globalThis.WebSocket !== undefined,
      open: (address, hooks) => new Socket(address, hooks),
    },
    sse: {
      isThere: () => globalThis.ReadableStream !== undefined,
      open: (address, hooks) => new Requests(address, hooks, true),
    },
    "long-polling": {
      isThere: () => globalThis.fetch !== undefined,
      open: (address, hooks) => new Requests(address, hooks, false),
    },
  };

  // What is said on any connection

  /**
   * The protocol, whatever carries it: `wire.send(text, key)` says whether there is a connection. The
   * key is that of a push.
   */
  class Postman {
    session = null;
    node = null;
    /** What the node was last told that we have. */
    position = null;
    /** Counts connections: what came with an older one cannot be answered. */
    connection = 0;
    isOpen = false;
    #options;
    #wire;
    #store = null;
    #isDirty = false;

    constructor(options, wire) {
      this.#options = options;
      this.#wire = wire;
      this.seen = new Seen();
      this.done = new Marks();
      this.outbox = new Outbox(options, {
        send: (text, key) => this.isOpen && wire.send(text, key),
        doubt: (since) => this.isOpen && wire.onDoubt?.(since),
        tell: (name, ...args) => this.#tell(name, ...args),
      });
      this.inbox = new Inbox((item) => this.#handle(item), () => this.#rest());
    }

    push(message) {
      return this.outbox.push(message);
    }

    /** Takes a frame of a node's. Throws if it is none. */
    receive(text) {
      const frame = JSON.parse(text);
      if (frame.hello !== undefined) this.#greet(frame);
      else if (frame.id !== undefined) {
        if (this.seen.isNew(frame)) this.inbox.put({ message: readMessage(frame), frame });
      } else if (frame.mark !== undefined) this.inbox.put({ ...frame, connection: this.connection });
      else if (frame.gap !== undefined) this.inbox.put(frame);
      else if (frame.ack !== undefined) this.outbox.acknowledge(frame);
      else if (frame.refused !== undefined) this.outbox.refuse(frame);
      else if (frame.close !== undefined) this.#wire.onClose?.(frame.close, frame.reason);
      // What a later version says besides, this one need not know.
    }

    /** The connection is gone. */
    lost() {
      this.isOpen = false;
      this.connection += 1;
    }

    /** The session is somebody else's now. */
    forgetSession() {
      this.session = null;
      this.position = null;
      this.#save();
    }

    close(why) {
      this.lost();
      this.outbox.close(why);
      this.inbox.close();
      this.#store?.clear();
      this.#store = null;
    }

    /** Goes on from what an earlier load of the page has left, and leaves what the next needs. */
    async restore(store) {
      const { state, pushes } = await store.load();
      if (state !== undefined) {
        const { session, node, position, done, causes } = state;
        Object.assign(this, { session, node, position });
        this.done = new Marks(done);
        this.seen = new Seen(done, causes);
      }
      this.#store = store;
      store.onError = (error) => this.fail(error);
      this.outbox.restore(pushes, store);
    }

    fail(error, message) {
      if (this.#options.onError === undefined) console.error("exosphere:", error);
      else this.#options.onError(error, message);
    }

    #greet({ hello, session, node, resumed, series }) {
      if (hello !== VERSION) throw new Error(`the node speaks version ${hello} of postman`);
      const expired = this.session !== null && !resumed;
      const from = this.node;
      if (expired) this.position = null;
      Object.assign(this, { session, node });
      this.connection += 1;
      this.isOpen = true;
      this.#save();
      // What waits goes before what the application says when it is told.
      this.outbox.transmit(this.connection);
      this.#wire.onHello?.(expired, series);
      if (expired && this.#wire.onHello === undefined) this.#tell("onState", "expired");
      if (from !== null && from !== node) this.#tell("onMove", { from, to: node });
    }

    /** Tells the application what came. Returns a promise if that takes its time. */
    #handle(item) {
      if (item.mark !== undefined) {
        if (item.position !== undefined) this.position = item.position;
        this.#save();
        if (item.connection === this.connection) this.#wire.send(JSON.stringify({ confirm: item.mark }));
        return undefined;
      }
      if (item.gap !== undefined) {
        this.#tell("onGap", { topic: item.gap, from: item.from, to: item.to });
        return undefined;
      }
      const { message, frame } = item;
      const { id, topic, cause } = frame;
      const finish = () => {
        this.done.advance(frame);
        this.#isDirty = true;
      };
      try {
        const said = this.#options.onMessage?.(message, { id, topic, cause });
        if (typeof said?.then === "function") {
          return said.then(finish, (error) => {
            finish();
            this.fail(error, message);
          });
        }
      } catch (error) {
        this.fail(error, message);
      }
      finish();
      return undefined;
    }

    /** The application was told of everything, or takes its time: what it has is kept. */
    #rest() {
      if (this.#isDirty) this.#save();
    }

    #save() {
      this.#isDirty = false;
      if (this.#store === null) return;
      const { session, node, position } = this;
      const [done, causes] = [this.done.entries(), this.seen.causes()];
      this.#store.save({ session, node, position, done, causes });
    }

    #tell(name, ...args) {
      try {
        this.#options[name]?.(...args);
      } catch (error) {
        this.fail(error);
      }
    }
  }

  /** What was pushed and is not acknowledged, oldest first. */
  class Outbox {
    pushes = [];
    #epoch = randomEpoch();
    #number = 0;
    #interval;
    #hooks;
    #store = null;
    #connection = 0;
    #timer = null;
    #closed = null;

    constructor({ ackInterval = ACK_INTERVAL_MS }, hooks) {
      this.#interval = ackInterval;
      this.#hooks = hooks;
    }

    push(message) {
      if (this.#closed !== null) return refusal(this.#closed);
      if (this.pushes.length >= PUSHES_LIMIT) {
        return refusal(new Error(`${PUSHES_LIMIT} messages wait to be acknowledged; try again later`));
      }
      const key = `${this.#epoch}.${this.#number + 1}`;
      let text;
      try {
        text = JSON.stringify({ id: key, ...bodyOf(message) });
      } catch (error) {
        return refusal(error);
      }
      if (text.length > FRAME_LIMIT_BYTES || new TextEncoder().encode(text).length > FRAME_LIMIT_BYTES) {
        return refusal(new Error("the message is longer than a node takes"));
      }
      this.#number += 1;
      const push = newPush(key, message, text);
      const acknowledged = new Promise((resolve, reject) => Object.assign(push, { resolve, reject }));
      // Who does not look at it is told by `onAckFailed`.
      acknowledged.catch(() => {});
      this.pushes.push(push);
      push.order = this.#store?.keep({ key, text });
      this.transmit(this.#connection);
      return acknowledged;
    }

    /** Sends what was not sent on this connection, as far as the window goes. */
    transmit(connection) {
      this.#connection = connection;
      for (const push of this.pushes.slice(0, WINDOW)) {
        push.due ??= now() + this.#interval;
        if (push.connection !== connection && this.#hooks.send(push.text, push.key)) {
          push.connection = connection;
          push.sent = now();
        }
      }
      this.#setTimer();
    }

    /** A push is stored, and so are those before it of the same load of the page. */
    acknowledge({ ack, level, nodes }) {
      const { epoch, number } = splitKey(ack);
      const has = ({ key }) => {
        const its = splitKey(key);
        return its.epoch === epoch && its.number <= number;
      };
      for (const push of this.#take(has)) {
        const acknowledged = { key: push.key, level, nodes };
        push.resolve?.(acknowledged);
        this.#hooks.tell("onAckSuccess", { ...acknowledged, message: push.message });
      }
    }

    refuse({ refused, error }) {
      for (const push of this.#take(({ key }) => key === refused)) this.#fail(push, new Error(error));
    }

    restore(pushes, store) {
      this.#store = store;
      const restored = pushes.map(({ key, text, order }) => {
        const { message, binary } = JSON.parse(text);
        const said = binary === undefined ? message : fromBase64(binary);
        return { ...newPush(key, said, text), order };
      });
      for (const push of this.pushes) push.order = store.keep({ key: push.key, text: push.text });
      this.pushes.unshift(...restored);
    }

    close(why) {
      this.#closed = why;
      clearTimeout(this.#timer);
      for (const push of this.pushes.splice(0)) this.#fail(push, why);
    }

    #take(has) {
      const taken = this.pushes.filter(has);
      if (taken.length === 0) return taken;
      this.pushes = this.pushes.filter((push) => !taken.includes(push));
      this.#store?.drop(taken.map(({ order }) => order));
      this.transmit(this.#connection);
      return taken;
    }

    #fail(push, error) {
      push.reject?.(error);
      this.#hooks.tell("onAckFailed", { key: push.key, message: push.message, attempts: push.attempts, error });
    }

    #setTimer() {
      clearTimeout(this.#timer);
      const due = Math.min(...this.pushes.slice(0, WINDOW).map((push) => push.due));
      if (due !== Infinity) this.#timer = setTimeout(() => this.#tick(), due - now());
    }

    /** Sends again what was not acknowledged in time. */
    #tick() {
      const late = this.pushes.slice(0, WINDOW).filter((push) => push.due <= now());
      const sent = late.filter((push) => push.connection === this.#connection).map((push) => push.sent);
      for (const push of late) {
        push.attempts += 1;
        const interval = Math.min(LONGEST_ACK_INTERVAL_MS, this.#interval * 2 ** Math.min(push.attempts, 16));
        push.due = now() + interval * (0.75 + Math.random() / 2);
        this.#hooks.tell("onAckFailed", { key: push.key, message: push.message, attempts: push.attempts });
        if (push.connection === this.#connection && this.#hooks.send(push.text, push.key)) push.sent = now();
      }
      this.transmit(this.#connection);
      if (sent.length > 0) this.#hooks.doubt(Math.min(...sent));
    }
  }

  /** What came, for the application, one thing after the other. */
  class Inbox {
    #items = [];
    #handle;
    #rest;
    #busy = false;

    /** `handle` may return a promise, which is waited for; `rest` is called when there is none left, and while one is. */
    constructor(handle, rest) {
      this.#handle = handle;
      this.#rest = rest;
    }

    get isFull() {
      return this.#items.length >= INBOX_LIMIT;
    }

    put(item) {
      this.#items.push(item);
      if (!this.#busy) this.#run();
    }

    close() {
      this.#items.length = 0;
    }

    #run() {
      this.#busy = true;
      while (this.#items.length > 0) {
        const waits = this.#handle(this.#items.shift());
        if (waits !== undefined) {
          this.#rest();
          waits.then(() => this.#run());
          return;
        }
      }
      this.#busy = false;
      this.#rest();
    }
  }

  /** For each topic and origin, the number of the last message: an origin's come in order. */
  class Marks {
    #marks;

    constructor(entries = []) {
      this.#marks = new Map(entries);
    }

    /** Whether the message is behind the last, which it then is itself. */
    advance({ id, topic }) {
      const dash = id.lastIndexOf("-");
      const name = `${id.slice(0, dash)} ${topic}`;
      const number = Number(id.slice(dash + 1));
      if (number <= (this.#marks.get(name) ?? -1)) return false;
      // Those that were not heard of for longest go first.
      this.#marks.delete(name);
      this.#marks.set(name, number);
      if (this.#marks.size > MARKS_LIMIT) this.#marks.delete(this.#marks.keys().next().value);
      return true;
    }

    entries() {
      return [...this.#marks];
    }
  }

  /** Tells what came before from what is new. */
  class Seen {
    #marks;
    #causes;

    constructor(marks = [], causes = []) {
      this.#marks = new Marks(marks);
      this.#causes = new Map(causes);
    }

    isNew(frame) {
      if (!this.#marks.advance(frame)) return false;
      if (frame.cause === undefined) return true;
      // Published twice, because a node was wrongly taken for dead: the first that came is told.
      const first = this.#causes.get(frame.cause) ?? frame.id;
      this.#causes.delete(frame.cause);
      this.#causes.set(frame.cause, first);
      if (this.#causes.size > CAUSES_LIMIT) this.#causes.delete(this.#causes.keys().next().value);
      return first === frame.id;
    }

    /** The last of them. */
    causes() {
      return [...this.#causes].slice(-CAUSES_KEPT);
    }
  }

  // What a page keeps across a reload

  /** The place of one tab among those that keep something by the same name. */
  class Slot {
    #release;

    constructor(name, release) {
      this.store = new Store(name);
      this.#release = release;
    }

    /** The place that this tab had before it was loaded again, or else the first that is free. */
    static async take(name) {
      const hint = `exosphere.slot.${name}`;
      const had = recall(hint);
      // A duplicated tab remembers its original's place, which it does not get.
      const release = had === null ? null : await lock(`exosphere ${name} ${had}`, RELOAD_PATIENCE_MS);
      if (release !== null) return new Slot(`${name} ${had}`, release);
      for (let index = 0; index < SLOTS; index++) {
        const taken = await lock(`exosphere ${name} ${index}`, 0);
        if (taken === null) continue;
        remember(hint, String(index));
        return new Slot(`${name} ${index}`, taken);
      }
      return null;
    }

    leave() {
      this.#release();
    }
  }

  /** Takes a lock among the tabs of this origin, and returns what releases it; null if another tab has it. */
  function lock(name, patience) {
    if (globalThis.navigator?.locks !== undefined) return webLock(name, patience);
    if (globalThis.BroadcastChannel !== undefined) return election(name);
    return Promise.resolve(null);
  }

  function webLock(name, patience) {
    return new Promise((resolve) => {
      const hold = (taken) => {
        if (taken === null) return resolve(null);
        return new Promise((release) => resolve(release));
      };
      const how = patience > 0 ? { signal: AbortSignal.timeout(patience) } : { ifAvailable: true };
      navigator.locks.request(name, how, hold).catch(() => resolve(null));
    });
  }

  /** Without locks, tabs ask each other: who has it says so, and of two that ask the lower claim has it. */
  function election(name) {
    return new Promise((resolve) => {
      const channel = new BroadcastChannel(name);
      const claim = randomEpoch();
      let state = "asking";
      channel.onmessage = ({ data }) => {
        if (data.claim !== undefined && (state === "taken" || claim < data.claim)) {
          channel.postMessage({ refused: data.claim });
        } else if (data.refused === claim || (data.claim < claim && state === "asking")) {
          state = "refused";
        }
      };
      channel.postMessage({ claim });
      setTimeout(() => {
        if (state === "asking") {
          state = "taken";
          resolve(() => channel.close());
        } else {
          channel.close();
          resolve(null);
        }
      }, ELECTION_MS);
    });
  }

  /**
   * What one tab keeps: its pushes in IndexedDB, and where it is in localStorage. That is written when
   * the call returns: what a page has put into IndexedDB just before it is left may be lost with it,
   * and the next would be told again of what this one was told.
   */
  class Store {
    onError = () => {};
    #slot;
    #database = null;
    #order = 0;

    constructor(slot) {
      this.#slot = slot;
    }

    async load() {
      const opening = indexedDB.open("exosphere", 1);
      opening.onupgradeneeded = () => opening.result.createObjectStore("pushes");
      this.#database = await resultOf(opening);
      const pushes = this.#database.transaction("pushes").objectStore("pushes");
      const [keys, values] = await Promise.all([
        resultOf(pushes.getAllKeys(this.#range())),
        resultOf(pushes.getAll(this.#range())),
      ]);
      this.#order = (keys.at(-1)?.[1] ?? 0) + 1;
      const state = JSON.parse(localStorage.getItem(this.#name)) ?? undefined;
      return { state, pushes: values.map((push, index) => ({ ...push, order: keys[index][1] })) };
    }

    save(state) {
      try {
        localStorage.setItem(this.#name, JSON.stringify(state));
      } catch (error) {
        this.onError(error);
      }
    }

    /** Keeps a push behind those before. Returns its place. */
    keep(push) {
      const order = this.#order++;
      this.#write((pushes) => pushes.put(push, [this.#slot, order]));
      return order;
    }

    drop(orders) {
      this.#write((pushes) => orders.forEach((order) => pushes.delete([this.#slot, order])));
    }

    clear() {
      localStorage.removeItem(this.#name);
      this.#write((pushes) => pushes.delete(this.#range()));
    }

    #range() {
      return IDBKeyRange.bound([this.#slot, 0], [this.#slot, Infinity]);
    }

    get #name() {
      return `exosphere.at.${this.#slot}`;
    }

    #write(work) {
      try {
        const writing = this.#database.transaction("pushes", "readwrite");
        writing.onabort = () => this.onError(writing.error ?? new Error("nothing was kept"));
        work(writing.objectStore("pushes"));
        // Or it waits for what is called back here, which a page that is left never is.
        writing.commit?.();
      } catch (error) {
        this.onError(error);
      }
    }
  }

  function resultOf(request) {
    return new Promise((resolve, reject) => {
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
      request.onblocked = () => reject(new Error("another page holds an older store"));
    });
  }

  // Storage may be forbidden; then this tab remembers nothing.
  function recall(key) {
    try {
      return sessionStorage.getItem(key);
    } catch {
      return null;
    }
  }

  function remember(key, value) {
    try {
      sessionStorage.setItem(key, value);
    } catch {
      // Not kept.
    }
  }

  // Messages and keys

  function newPush(key, message, text) {
    return { key, message, text, attempts: 0, due: null, connection: null, sent: null };
  }

  function bodyOf(message) {
    if (message instanceof ArrayBuffer) return { binary: toBase64(new Uint8Array(message)) };
    if (ArrayBuffer.isView(message)) {
      return { binary: toBase64(new Uint8Array(message.buffer, message.byteOffset, message.byteLength)) };
    }
    if (JSON.stringify(message) === undefined) throw new TypeError("a message is text, bytes, or JSON");
    return { message };
  }

  function readMessage({ message, binary }) {
    return binary === undefined ? message : fromBase64(binary);
  }

  function toBase64(bytes) {
    let text = "";
    for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
    return btoa(text);
  }

  function fromBase64(text) {
    return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  }

  function splitKey(key) {
    const dot = key.lastIndexOf(".");
    return { epoch: key.slice(0, dot), number: Number(key.slice(dot + 1)) };
  }

  /** 64 random bits that tell one load of a page from the others. */
  function randomEpoch() {
    const bytes = crypto.getRandomValues(new Uint8Array(8));
    return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  }

  function refusal(error) {
    const refused = Promise.reject(error);
    refused.catch(() => {});
    return refused;
  }

  function toHttpUrl(url) {
    const absolute = new URL(url, globalThis.location?.href);
    absolute.protocol = absolute.protocol.replace(/^ws/, "http");
    absolute.hash = "";
    return absolute.href;
  }

  function listen(target, listeners) {
    const pairs = Object.entries(listeners);
    for (const [name, listener] of pairs) target.addEventListener?.(name, listener);
    return () => pairs.forEach(([name, listener]) => target.removeEventListener?.(name, listener));
  }

  function sleep(ms) {
    return new Promise((resolve) => setTimeout(resolve, ms));
  }

  function now() {
    return performance.now();
  }

  globalThis.exosphere = Object.freeze({ connect, plug, version: VERSION });
})();
