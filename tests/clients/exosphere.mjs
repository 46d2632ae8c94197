// exosphere.js alone, and as a plugin of atmosphere.js 5.0.45, 3.1.3 and 2.3.8: each pushes N messages
// through a door that is cut and leads to another node again and again. Everybody must be told of
// every message, once, and of each sender's in order.

import { atmosphere, brief, check, legacy, proxy, readArguments, run, sleep, through, until, VERSIONS, WebSocket } from "./clients.mjs";

globalThis.WebSocket = WebSocket;
const { default: exosphere } = await import("../../src/client/script/exosphere.mjs");

const { alone, named } = readArguments("exosphere.mjs URL_A URL_B [N] [--seconds 120] [--every 300]", 2);
const urls = alone.slice(0, 2);
const N = Number(alone[2] ?? 500);
const EVERY_MS = Number(named.every ?? 300);
const SECONDS = Number(named.seconds ?? 120);
// How many of one client's are not acknowledged.
const UNDER_WAY = 20;

await run(SECONDS * 1000, async () => {
  await ends();
  const clients = [];
  for (const kind of ["alone", 5, 3, 2]) clients.push(await open(kind));
  for (const client of clients) {
    client.push("here");
    await until(() => client.heard.includes("here"), 15_000, `${client.name} hears itself`);
  }
  for (const client of clients) {
    client.push(`ready ${client.name}`);
    await until(() => clients.every(({ heard }) => heard.includes(`ready ${client.name}`)), 15_000, `all hear ${client.name}`);
  }
  for (const client of clients) client.heard = [];

  let done = false;
  const troubles = clients.map((client) => trouble(client, () => done));
  const began = performance.now();
  await Promise.all(clients.map((client) => say(client)));
  done = true;
  await Promise.all(troubles);
  const total = N * clients.length;
  await until(() => clients.every(({ heard }) => heard.length >= total), 30_000, () => progress(clients, total));
  const seconds = (performance.now() - began) / 1000;
  // Nothing may come after the last.
  await sleep(500);

  for (const client of clients) {
    check(client.heard.length === total, `${client.name} heard ${client.heard.length} messages of ${total}`);
    for (const sender of clients) {
      const from = client.heard.filter((text) => text.startsWith(`${sender.name}:`));
      const wrong = from.findIndex((text, n) => text !== `${sender.name}:${n}`);
      check(wrong === -1 && from.length === N, `${client.name} heard of ${sender.name}, as number ${wrong}, ${brief(from[wrong] ?? "nothing")}`);
    }
    check(client.acknowledged === N + 2 && client.failed.length === 0, `${client.name}: ${client.acknowledged} acknowledged, ${client.failed}`);
    check(client.cuts > 0, `${client.name} was not cut`);
    check(client.gaps === 0, `${client.name} was told of gaps`);
  }
  const [own] = clients;
  check(own.moves > 0, "the client never moved");
  // 2.3.8 says goodbye with a request that it waits for, without letting this process go on, which is
  // also that of its proxy.
  for (const client of clients) if (client.name !== VERSIONS[2]) client.close();
  return {
    versions: VERSIONS,
    pushed: total,
    heard: total * clients.length,
    lost: 0,
    duplicated: 0,
    cuts: clients.reduce((sum, { cuts }) => sum + cuts, 0),
    moves: own.moves,
    seconds: Number(seconds.toFixed(3)),
  };
});

/** What a client does that is closed, refused, or told something that its handler cannot bear. */
async function ends() {
  const states = [];
  const errors = [];
  const told = [];
  const client = exosphere.connect(urls[0], {
    onState: (state) => states.push(state),
    onError: (error) => errors.push(error.message),
    onMessage: async (message) => {
      told.push(message);
      await sleep(5);
      if (message === "one") throw new Error("no ones");
    },
  });
  for (const message of ["one", "two", { three: 3 }]) {
    const { key, level, nodes } = await client.push(message);
    check(/^[0-9a-f]{16}\.[1-3]$/.test(key) && level === "replicated" && nodes === 2, `acknowledged as ${key}, ${level}, ${nodes}`);
  }
  const long = await client.push("x".repeat(2 << 20)).catch((error) => error.message);
  check(/longer/.test(long), `a long message: ${brief(String(long))}`);
  await until(() => told.length === 3, 10_000, () => `three are told: ${told}`);
  check(told.join() === 'one,two,{"three":3}', told.join());
  check(errors.join() === "no ones", errors.join());
  client.close();
  const late = await client.push("late").catch((error) => error.message);
  check(late === "the client was closed", `a push after the end: ${brief(String(late))}`);
  check(states.join() === "connected,closed", states.join());
  const lost = [];
  const nobody = exosphere.connect("http://127.0.0.1:1/chat/x", { ackInterval: 50, onAckFailed: ({ attempts, error }) => lost.push([attempts, error?.message]) });
  nobody.push("x");
  await until(() => lost.length === 2, 5000, "a push that nobody acknowledges is told of again and again");
  nobody.close();
  check(JSON.stringify(lost) === '[[1,null],[2,null],[2,"the client was closed"]]', JSON.stringify(lost));
}

async function open(kind) {
  const [host, port] = [new URL(urls[0]).hostname, Number(new URL(urls[0]).port)];
  const door = await proxy(port, host);
  const url = through(door, urls[0]);
  const state = { name: kind === "alone" ? kind : VERSIONS[kind], door, heard: [], acknowledged: 0, failed: [], cuts: 0, gaps: 0, moves: 0 };
  const options = {
    ackInterval: 2000,
    onMessage: (message) => void state.heard.push(message),
    onAckSuccess: () => (state.acknowledged += 1),
    onAckFailed: ({ key, error }) => error && state.failed.push(`${key} ${error.message}`),
    onGap: () => (state.gaps += 1),
    onMove: () => (state.moves += 1),
    onError: (error) => state.failed.push(error.message),
  };
  const client = kind === "alone" ? exosphere.connect([url], options) : plugged(kind, url, options);
  return Object.assign(state, { push: (message) => client.push(message), close: () => client.close() });
}

function plugged(generation, url, options) {
  const request = {
    url,
    transport: "websocket",
    fallbackTransport: "websocket",
    enableProtocol: true,
    trackMessageLength: true,
    reconnect: true,
    reconnectInterval: 50,
    maxReconnectOnClose: 1000,
    maxWebsocketErrorRetries: 1000,
    handleOnlineOffline: false,
    logLevel: "error",
  };
  return exosphere.plug(generation === 5 ? atmosphere : legacy[generation], request, options);
}

/** Pushes N messages, of which a few at a time wait. */
async function say(client) {
  const waiting = [];
  for (let n = 0; n < N; n++) {
    // However fast it goes: some of it is said before a cut and a move, and some after.
    if (n === N >> 1) await until(() => client.cuts > 0 && (client.moves > 0 || client.name !== "alone"), 30_000, () => `${client.name} goes on elsewhere: ${client.cuts} cuts`);
    waiting.push(client.push(`${client.name}:${n}`));
    if (waiting.length >= UNDER_WAY) await waiting.shift();
  }
  await Promise.all(waiting);
}

/** Cuts a client's connections and leads it to the other node, until all is said. */
async function trouble(client, isDone) {
  while (!isDone()) {
    await sleep(EVERY_MS * (0.5 + Math.random()));
    // Every other time only the connection is lost.
    client.door.target(Number(new URL(urls[(client.cuts >> 1) % 2]).port));
    if (Math.random() < 0.3) {
      // What the node writes is lost for a while before the cut.
      client.door.stall();
      await sleep(50);
    }
    client.door.cut();
    client.cuts += 1;
  }
}

function progress(clients, total) {
  return clients.map((client) => `${client.name} heard ${client.heard.length} of ${total}, ${client.acknowledged} acknowledged`).join("; ");
}
