// exosphere.js on a node that drains, by each transport, and not told of any other node: the node sends
// its clients to the other one. They push N messages each meanwhile. Everybody must be told of every
// message, once, and of each sender's in order. Then one is sent to a door that is closed at first, by
// what plays a node that is gone at once: it must try the door again.

import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { WebSocketServer } from "ws";
import { check, proxy, readArguments, run, sleep, until, WebSocket } from "./clients.mjs";

globalThis.WebSocket = WebSocket;
const { default: exosphere } = await import("../../src/client/script/exosphere.mjs");

const { alone, named } = readArguments("drain.mjs URL_A PID_A URL_B [N] [--seconds 60]", 3);
const [url, pid, other] = alone;
const N = Number(alone[3] ?? 300);
// How many of one client's are not acknowledged.
const UNDER_WAY = 20;

await run(Number(named.seconds ?? 60) * 1000, async () => {
  const clients = ["websocket", "sse", "long-polling"].map(open);
  for (const client of clients) {
    client.script.push("here");
    await until(() => client.heard.includes("here"), 15_000, `${client.name} hears itself`);
  }
  for (const client of clients) {
    client.script.push(`ready ${client.name}`);
    await until(() => clients.every(({ heard }) => heard.includes(`ready ${client.name}`)), 15_000, `all hear ${client.name}`);
  }
  for (const client of clients) client.heard = [];
  const home = clients[0].script.node;

  const began = performance.now();
  const saying = Promise.all(clients.map(say));
  const total = N * clients.length;
  await until(() => clients.every(({ heard }) => heard.length >= total / 4), 30_000, "a quarter is heard");
  process.kill(Number(pid), "SIGTERM");
  await saying;
  await until(() => clients.every(({ heard }) => heard.length >= total), 30_000, () => JSON.stringify(clients.map(({ name, heard }) => [name, heard.length])));
  const seconds = (performance.now() - began) / 1000;
  // Nothing may come after the last.
  await sleep(500);
  for (const client of clients) {
    check(client.heard.length === total, `${client.name} heard ${client.heard.length} messages of ${total}`);
    for (const sender of clients) {
      const from = client.heard.filter((text) => text.startsWith(`${sender.name}:`));
      check(from.every((text, n) => text === `${sender.name}:${n}`) && from.length === N, `${client.name} heard ${from.length} of ${sender.name}, or in another order`);
    }
    check(client.gaps === 0 && client.failed.length === 0, `${client.name}: ${client.gaps} gaps, ${client.failed}`);
    check(client.moves === 1 && client.script.node !== home, `${client.name} moved ${client.moves} times`);
    check(client.script.transport === client.name, `${client.name} is connected by ${client.script.transport}`);
  }
  await triesAgain();
  const silences = Object.fromEntries(clients.map(({ name, silence }) => [name, Math.round(silence)]));
  return { pushed: total, heard: total * clients.length, lost: 0, duplicated: 0, longestSilenceMs: silences, seconds: Number(seconds.toFixed(3)) };
});

/** Who is sent to a node that does not answer yet goes there once it does. */
async function triesAgain() {
  const door = await proxy(Number(new URL(other).port));
  door.refuse();
  const gone = new WebSocketServer({ host: "127.0.0.1", port: 0 });
  await once(gone, "listening");
  gone.on("connection", (socket) => {
    socket.send(JSON.stringify({ hello: 1, session: randomUUID(), node: "00000000000000ff", resumed: false }));
    socket.close(1001, `go to http://127.0.0.1:${door.port}`);
    gone.close();
  });
  const heard = [];
  const client = exosphere.connect(`http://127.0.0.1:${gone.address().port}/chat/again`, {
    transports: ["websocket"],
    onMessage: (message) => void heard.push(message),
  });
  client.push("hello");
  await until(() => door.refused() >= 2, 15_000, () => `it tries again: ${door.refused()} times`);
  door.admit();
  await until(() => heard.includes("hello"), 15_000, "it gets through");
  client.close();
  door.close();
}

function open(transport) {
  const state = { name: transport, heard: [], failed: [], gaps: 0, moves: 0, silence: 0, last: null };
  state.script = exosphere.connect(url, {
    transports: [transport],
    onMessage: (message) => {
      const now = performance.now();
      if (state.last !== null) state.silence = Math.max(state.silence, now - state.last);
      state.last = now;
      state.heard.push(message);
    },
    onAckFailed: ({ key, error }) => error && state.failed.push(`${key} ${error.message}`),
    onGap: () => (state.gaps += 1),
    onMove: () => (state.moves += 1),
    onError: (error) => state.failed.push(error.message),
  });
  return state;
}

/** Pushes N messages, of which a few at a time wait; some of them after a move, however fast it goes. */
async function say(client) {
  const waiting = [];
  for (let n = 0; n < N; n++) {
    if (n === N >> 1) await until(() => client.moves > 0, 30_000, () => `${client.name} is sent to the other node`);
    waiting.push(client.script.push(`${client.name}:${n}`));
    if (waiting.length >= UNDER_WAY) await waiting.shift();
  }
  await Promise.all(waiting);
}
