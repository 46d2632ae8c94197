// exosphere.js behind a proxy that gives each request to another node: it is to find a transport that
// works by itself, and to lose nothing.

import { check, readArguments, run, sleep, until, WebSocket } from "./clients.mjs";

globalThis.WebSocket = WebSocket;
const { default: exosphere } = await import("../../src/client/script/exosphere.mjs");

const { alone, named } = readArguments("proxied.mjs URL TRANSPORT [--only TRANSPORT] [--messages 200] [--seconds 40]", 2);
const [url, transport] = alone;
const COUNT = Number(named.messages ?? 200);

await run(Number(named.seconds ?? 40) * 1000, async () => {
  const heard = [];
  const wrong = [];
  let opened;
  const began = performance.now();
  const client = exosphere.connect(url, {
    transports: named.only && [named.only],
    onMessage: (message) => void heard.push(message),
    onState: (state) => state === "connected" && (opened ??= Math.round(performance.now() - began)),
    onGap: (gap) => wrong.push(`a gap: ${JSON.stringify(gap)}`),
    onError: (error) => wrong.push(error.message),
  });
  const expected = Array.from({ length: COUNT }, (_, n) => `message ${n}`);
  for (let n = 0; n < COUNT; n += 10) await Promise.all(expected.slice(n, n + 10).map((text) => client.push(text)));
  await until(() => heard.length >= COUNT, 15_000, () => `it heard ${heard.length} of ${COUNT}`);
  await sleep(300);
  check(JSON.stringify(heard) === JSON.stringify(expected), `it heard ${JSON.stringify(heard)}`);
  check(wrong.length === 0, wrong.join("; "));
  check(client.transport === transport, `it is connected by ${client.transport}`);
  client.close();
  return { opened };
});
