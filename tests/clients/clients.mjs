// The generations of atmosphere.js behind one face, and what the drivers share.
//
// All run in this process over one WebSocket class, which writes down what no client tells: the
// tracking ids that it asked with and the one that the server named.

import net from "node:net";
import { createRequire } from "node:module";
import { EventSource } from "eventsource";
import { WebSocket } from "ws";

const require = createRequire(import.meta.url);

// Up to 4.0.1 they share a `window`, which the first of them makes, and bring an older WebSocket and an
// older EventSource, which ours replace; their XMLHttpRequest stays. 5.0.45 is loaded after them and
// takes the global ones.
export const legacy = { 2: require("atmosphere.js-2"), 3: require("atmosphere.js-3"), 4: require("atmosphere.js-4") };

/** atmosphere.js of `generation` as a page of its own has it: its subscriptions share an id here and there. */
export function fresh(generation) {
  const path = require.resolve(`atmosphere.js-${generation}/lib/atmosphere`);
  delete require.cache[path];
  return require(path);
}

class RecordingWebSocket extends WebSocket {
  constructor(url, ...rest) {
    super(url, ...rest);
    const query = new URL(url).searchParams;
    const record = RecordingWebSocket.records.get(query.get("driver"));
    record?.asked.push(query.get("X-Atmosphere-tracking-id"));
    this.once("message", (data) => {
      const handshake = /^\d+\|([A-Za-z0-9_-]{1,128})\|\d+\|X\|$/.exec(data.toString());
      if (handshake) record?.named.push(handshake[1]);
    });
  }

  static records = new Map();
}

globalThis.WebSocket = RecordingWebSocket;
export { RecordingWebSocket as WebSocket };
globalThis.window.WebSocket = RecordingWebSocket;
globalThis.EventSource = EventSource;
globalThis.window.EventSource = EventSource;
// 2.3.8 says farewell by a request that is waited for, and what it goes through may be in this process.
const { XMLHttpRequest } = globalThis.window;
globalThis.window.XMLHttpRequest = function () {
  const request = new XMLHttpRequest();
  const { open } = request;
  request.open = (method, url) => open.call(request, method, url, true);
  return request;
};
// What browsers have, and 3.1.3 and 4.0.1 say farewell by.
globalThis.window.navigator.sendBeacon = (url, body) => {
  fetch(url, { method: "POST", body }).catch(() => {});
  return true;
};

export const { atmosphere, logger } = await import("atmosphere.js");
logger.setLevel?.("silent");

export const VERSIONS = { 5: "5.0.45", 4: "4.0.1", 3: "3.1.3", 2: "2.3.8" };

/** What the clients are told in these tests, but for what differs between their generations. */
const REQUEST = {
  transport: "websocket",
  fallbackTransport: "websocket",
  enableProtocol: true,
  trackMessageLength: true,
  contentType: "application/json",
  reconnect: true,
  reconnectInterval: 50,
  maxReconnectOnClose: 1000,
};

let subscriptions = 0;

/**
 * Subscribes with atmosphere.js of `generation` 5 (5.0.45), 4 (4.0.1), 3 (3.1.3) or 2 (2.3.8), over
 * WebSocket with the protocol and message lengths on, unless `more` says otherwise. The older ones may
 * be a `page` of their own.
 *
 * `on` may hold `message(text)` and `event(name, detail)`. Resolves once the client is open.
 */
export async function subscribe(generation, url, on = {}, more = {}, page = legacy[generation]) {
  const driver = String(++subscriptions);
  const record = { asked: [], named: [] };
  RecordingWebSocket.records.set(driver, record);
  const target = new URL(url);
  target.searchParams.set("driver", driver);

  const event = (name, detail) => on.event?.(name, detail);
  const message = (text) => on.message?.(text);
  const request = { ...REQUEST, ...more, url: target.href };
  const opening = generation === 5 ? subscribeFive(request, message, event) : subscribeLegacy(page, request, message, event);
  const client = await within(15_000, `${VERSIONS[generation]} opens ${url}`, opening);
  return { ...client, record, generation, name: VERSIONS[generation] };
}

async function subscribeFive(request, message, event) {
  let opened;
  const open = new Promise((resolve) => (opened = resolve));
  const subscribing = atmosphere.subscribe(
    request,
    {
      open: () => {
        event("open");
        opened();
      },
      reopen: () => event("reopen"),
      reconnect: () => event("reconnect"),
      close: (response) => event("close", String(response.status)),
      error: (error) => event("error", error.message),
      failureToReconnect: () => event("gave-up"),
      transportFailure: (reason) => event("transport-failure", reason),
      message: (response) => message(response.responseBody),
    },
  );
  let subscription;
  const subscribed = subscribing.then((it) => (subscription = it));
  // A first poll that is parked until there is a message is all that there is to be had.
  const isParked = request.transport === "long-polling" && !request.enableProtocol;
  await (isParked ? Promise.race([open, subscribed]) : Promise.all([open, subscribed]));
  return { push: (text) => subscription.push(text), close: async () => (await subscribed).close() };
}

async function subscribeLegacy(legacy, request, message, event) {
  let subscription;
  await new Promise((resolve) => {
    subscription = legacy.subscribe({
      maxWebsocketErrorRetries: 1000,
      handleOnlineOffline: false,
      logLevel: "error",
      ...request,
      onOpen: () => {
        event("open");
        resolve();
      },
      onReopen: () => event("reopen"),
      onReconnect: () => event("reconnect"),
      onClose: (response) => event("close", String(response.status)),
      onError: (response) => event("error", response.reasonPhrase),
      onFailureToReconnect: () => event("gave-up"),
      onTransportFailure: (reason) => event("transport-failure", reason),
      onClientTimeout: () => event("client-timeout"),
      onMessage: (response) => message(response.responseBody),
    });
  });
  return { push: (text) => subscription.push(text), close: () => subscription.close() };
}

/** What `generation` makes of a message: the older ones trim every text that they hand to the application. */
export function seenBy(generation, text) {
  return generation < 5 ? text.trim() : text;
}

/** A WebSocket without any parameter. `received` fills with the texts as they come, `bytes` with what they are made of. */
export async function bare(url) {
  const socket = new WebSocket(url.replace(/^http/, "ws"));
  const received = [];
  const bytes = [];
  socket.on("message", (data) => {
    bytes.push(data);
    received.push(data.toString());
  });
  await within(15_000, `a bare WebSocket opens ${url}`, new Promise((resolve, reject) => {
    socket.on("open", resolve);
    socket.on("error", reject);
  }));
  return { received, bytes, push: (text) => socket.send(text), close: () => socket.close() };
}

/** Publishes by POST. */
export async function post(url, text) {
  const answer = await fetch(url, {
    method: "POST",
    headers: { "Content-Type": "text/plain; charset=utf-8" },
    body: text,
    signal: AbortSignal.timeout(15_000),
  });
  const body = await answer.text();
  check(answer.status === 200, `POST ${url} was answered with ${answer.status} ${body}`);
  check(body === "", `POST ${url} was answered with a body: ${brief(body)}`);
}

/** A TCP proxy on a port of its own, whose connections can be cut and whose target can be changed. */
export async function proxy(port, host = "127.0.0.1") {
  const pairs = new Set();
  const state = { port, open: true, refused: 0 };
  const server = net.createServer((near) => {
    if (!state.open) {
      state.refused += 1;
      near.destroy();
      return;
    }
    const far = net.connect(state.port, host);
    const pair = [near, far];
    pairs.add(pair);
    for (const [from, to] of [[near, far], [far, near]]) {
      from.setNoDelay(true);
      from.on("error", () => {});
      from.on("close", () => {
        to.destroy();
        pairs.delete(pair);
      });
      from.pipe(to);
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const cut = () => {
    for (const [near, far] of pairs) {
      // A reset, which no farewell precedes: as when a machine goes.
      near.resetAndDestroy();
      far.resetAndDestroy();
    }
  };
  // What the server writes from now on it has written, and the client never has.
  const stall = () => {
    for (const [near, far] of pairs) {
      far.unpipe(near);
      far.pause();
    }
  };
  return {
    port: server.address().port,
    connections: () => pairs.size,
    cut,
    stall,
    /** Refuses connections until `admit` is called. */
    refuse: () => (state.open = false),
    admit: () => (state.open = true),
    /** How many were refused. */
    refused: () => state.refused,
    target: (next) => (state.port = next),
    close: () => {
      cut();
      server.close();
    },
  };
}

/** `url` as it is reached through `proxy`. */
export function through(proxy, url) {
  const target = new URL(url);
  target.hostname = "127.0.0.1";
  target.port = String(proxy.port);
  return target.href;
}

export function check(condition, message) {
  if (!condition) throw new Error(message);
}

/** Waits until `condition` holds; `describe` says what is so instead when it never does. */
export async function until(condition, ms, describe) {
  const end = performance.now() + ms;
  while (!condition()) {
    if (performance.now() > end) {
      const what = typeof describe === "function" ? describe() : describe;
      throw new Error(`not within ${ms} ms: ${what}`);
    }
    await sleep(5);
  }
}

export function within(ms, what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${ms} ms: ${what}`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

export function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

export function brief(text) {
  const shown = JSON.stringify(text);
  return shown.length > 120 ? `${shown.slice(0, 117)}... (${text.length} units)` : shown;
}

/** Splits the command line into what stands alone and what is `--name value`. */
export function readArguments(usage, least) {
  const alone = [];
  const named = {};
  const given = process.argv.slice(2);
  while (given.length > 0) {
    const next = given.shift();
    if (next.startsWith("--")) named[next.slice(2)] = given.shift();
    else alone.push(next);
  }
  if (alone.length < least || "help" in named) {
    process.stderr.write(`usage: node ${usage}\n`);
    process.exit(2);
  }
  return { alone, named };
}

/**
 * Runs a driver: prints its result as one line of JSON and leaves with 0; or, when it throws or is
 * not done after `ms`, prints `{"ok":false,"error":...}`, says so on stderr, and leaves with 1.
 */
export async function run(ms, driver) {
  const fail = (error) => {
    const message = error instanceof Error ? error.message : String(error);
    process.stderr.write(`FAILED: ${message}\n`);
    finish({ ok: false, error: message, ...error?.detail }, 1);
  };
  process.on("uncaughtException", fail);
  process.on("unhandledRejection", fail);
  setTimeout(() => fail(new Error(`the driver was not done after ${ms} ms`)), ms).unref();
  try {
    finish({ ok: true, ...(await driver()) }, 0);
  } catch (error) {
    fail(error);
  }
}

let finished = false;

function finish(result, code) {
  if (finished) return;
  finished = true;
  process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(code));
}
