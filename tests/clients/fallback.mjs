// A stock client behind a proxy, which is to find a transport that works by itself.

import { atmosphere, check, legacy, post, readArguments, run, until, within } from "./clients.mjs";

const { alone, named } = readArguments("fallback.mjs GENERATION URL TRANSPORT FALLBACK [--messages 20] [--seconds 40]", 4);
const [generation, url, transport, fallbackTransport] = alone;
const COUNT = Number(named.messages ?? 20);
const PATIENCE = 15_000;

await run(Number(named.seconds ?? 40) * 1000, async () => {
  const received = [];
  const began = performance.now();
  const subscription = await within(PATIENCE, "it opens", subscribe((text) => received.push(text)));
  const opened = Math.round(performance.now() - began);
  const expected = Array.from({ length: COUNT }, (_, n) => `message ${n}`);
  for (const text of expected) {
    await post(url, text);
    await until(() => received.includes(text), PATIENCE, () => `${text} is received, of ${JSON.stringify(received)}`);
  }
  subscription.push("pushed");
  await until(() => received.includes("pushed"), PATIENCE, () => `what was pushed is received`);
  check(received.length === COUNT + 1, `received ${JSON.stringify(received)}`);
  subscription.close();
  return { opened };
});

async function subscribe(message) {
  const request = { url, transport, fallbackTransport, enableProtocol: true, trackMessageLength: true, reconnectInterval: 50 };
  if (generation === "5") {
    let opened;
    const open = new Promise((resolve) => (opened = resolve));
    const subscription = await atmosphere.subscribe(request, { open: opened, message: (it) => message(it.responseBody) });
    await open;
    return subscription;
  }
  const subscribed = {};
  await new Promise((resolve) => {
    const callbacks = { onOpen: resolve, onMessage: (it) => message(it.responseBody), logLevel: "error" };
    // 2.3.8 falls back for an error, unless it may not, and once more for the close that follows: to nothing.
    const retries = generation === "2" ? { maxWebsocketErrorRetries: 0 } : {};
    subscribed.it = legacy[generation].subscribe({ ...request, ...callbacks, ...retries });
  });
  return subscribed.it;
}
