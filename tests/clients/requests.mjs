// exosphere.js without WebSockets: over an event stream, over long polls, behind a proxy that refuses
// upgrades, and behind one that gives each request to another node. Each client pushes N messages
// through a door that is cut and leads to another node again and again; with `--kill PID` node B is
// killed halfway. Everybody must be told of every message, once, and of each sender's in order.

import http from "node:http";
import { brief, check, proxy, readArguments, run, sleep, through, until, WebSocket } from "./clients.mjs";

globalThis.WebSocket = WebSocket;
const { default: exosphere } = await import("../../src/client/script/exosphere.mjs");

const { alone, named } = readArguments("requests.mjs URL_A URL_B [N] [--kill PID_B] [--seconds 120] [--every 300]", 2);
const urls = alone.slice(0, 2);
const ports = urls.map((url) => Number(new URL(url).port));
const N = Number(alone[2] ?? 500);
const EVERY_MS = Number(named.every ?? 300);
const SECONDS = Number(named.seconds ?? 120);
// How many of one client's are not acknowledged.
const UNDER_WAY = 20;

// What each kind of client is told, what it is connected by then, and what it goes through.
const KINDS = {
  websocket: { transport: "websocket", door: () => proxy(ports[0]) },
  stream: { transports: ["sse"], transport: "sse", door: () => proxy(ports[0]) },
  polls: { transports: ["long-polling"], transport: "long-polling", door: () => proxy(ports[0]) },
  refused: { transport: "sse", door: () => requestProxy(false) },
  turns: { transports: ["long-polling"], transport: "long-polling", door: () => requestProxy(true) },
};

let isKilled = false;

await run(SECONDS * 1000, async () => {
  const clients = [];
  for (const kind of Object.keys(KINDS)) clients.push(await open(kind));
  for (const client of clients) {
    client.push("here");
    await until(() => client.heard.includes("here"), 15_000, `${client.name} hears itself`);
  }
  for (const client of clients) {
    client.push(`ready ${client.name}`);
    await until(() => clients.every(({ heard }) => heard.includes(`ready ${client.name}`)), 15_000, () => `all hear ${client.name}: ${progress(clients, 1)}`);
  }
  for (const client of clients) client.heard = [];

  let done = false;
  const troubles = clients.map((client) => trouble(client, () => done));
  const began = performance.now();
  const saying = Promise.all(clients.map((client) => say(client)));
  const total = N * clients.length;
  if (named.kill !== undefined) {
    await until(() => clients.every(({ heard, moves }) => heard.length >= total / 2 && moves > 0), 60_000, () => progress(clients, total));
    isKilled = true;
    process.kill(Number(named.kill), "SIGKILL");
  }
  await saying;
  done = true;
  await Promise.all(troubles);
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
    check(client.gaps === 0, `${client.name} was told of gaps`);
    check(client.cuts > 0 && client.moves > 0, `${client.name}: ${client.cuts} cuts, ${client.moves} moves`);
    check(client.script.transport === KINDS[client.name].transport, `${client.name} is connected by ${client.script.transport}`);
  }
  const sum = (of) => clients.reduce((sum, client) => sum + of(client), 0);
  for (const { script } of clients) script.close();
  return {
    pushed: total,
    heard: sum(({ heard }) => heard.length),
    lost: 0,
    duplicated: 0,
    cuts: sum(({ cuts }) => cuts),
    moves: Object.fromEntries(clients.map(({ name, moves }) => [name, moves])),
    killed: isKilled,
    seconds: Number(seconds.toFixed(3)),
  };
});

async function open(kind) {
  const { transports, door: opening } = KINDS[kind];
  const door = await opening();
  const state = { name: kind, door, heard: [], acknowledged: 0, failed: [], cuts: 0, gaps: 0, moves: 0 };
  const script = exosphere.connect(through(door, urls[0]), {
    transports,
    ackInterval: 2000,
    // What is told late is acknowledged late.
    onMessage: async (message) => {
      state.heard.push(message);
      if (Math.random() < 0.01) await sleep(20);
    },
    onAckSuccess: () => (state.acknowledged += 1),
    onAckFailed: ({ key, error }) => error && state.failed.push(`${key} ${error.message}`),
    onGap: () => (state.gaps += 1),
    onMove: () => (state.moves += 1),
    onError: (error) => state.failed.push(error.message),
  });
  return Object.assign(state, { script, push: (message) => script.push(message) });
}

/** Pushes N messages, of which a few at a time wait. */
async function say(client) {
  const waiting = [];
  for (let n = 0; n < N; n++) {
    // However fast it goes: some of it is said before a cut and a move, and some after.
    if (n === N >> 1) await until(() => client.cuts > 0 && client.moves > 0, 30_000, () => `${client.name} goes on elsewhere: ${client.cuts} cuts`);
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
    client.door.target(isKilled ? ports[0] : ports[(client.cuts >> 1) % 2]);
    if (Math.random() < 0.3) {
      // What the node writes is lost for a while before the cut.
      client.door.stall();
      await sleep(50);
    }
    client.door.cut();
    client.cuts += 1;
  }
}

/** A proxy that passes on requests and no upgrades, to one node or to both in turns. */
async function requestProxy(inTurns) {
  const near = new Set();
  const answers = new Set();
  let [target, turn] = [ports[0], 0];
  const server = http.createServer((request, response) => {
    const port = inTurns && !isKilled ? ports[turn++ % 2] : target;
    const { method, url, headers } = request;
    const far = http.request({ host: "127.0.0.1", port, method, path: url, headers, agent: false }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      response.flushHeaders();
      answers.add(answer);
      answer.on("close", () => answers.delete(answer));
      answer.on("error", () => response.destroy());
      answer.on("aborted", () => response.destroy());
      answer.pipe(response);
    });
    far.on("error", () => response.destroy());
    response.on("close", () => far.destroy());
    request.pipe(far);
  });
  server.on("upgrade", (request, socket) => socket.end("HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n"));
  server.on("connection", (socket) => {
    near.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => near.delete(socket));
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: server.address().port,
    target: (next) => (target = next),
    stall: () => answers.forEach((answer) => answer.unpipe()),
    cut: () => near.forEach((socket) => socket.resetAndDestroy()),
  };
}

function progress(clients, total) {
  return clients.map(({ name, heard, acknowledged, script }) => `${name} heard ${heard.length} of ${total}, ${acknowledged} acknowledged, ${script.state} by ${script.transport}`).join("; ");
}
