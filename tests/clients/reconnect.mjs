// A client whose connection is cut comes back with its tracking id and is given, in order, what was
// published meanwhile by POST and by a bare WebSocket; and nothing but messages reaches the application.

import { bare, brief, check, post, proxy, readArguments, run, seenBy, sleep, subscribe, through, until } from "./clients.mjs";

const { alone, named } = readArguments(
  "reconnect.mjs URL [PUBLISH_URL] [--generation 5|3] [--cuts 5] [--away 60] [--duplicates none|few] [--seconds 90]",
  1,
);
const [url, publishUrl = url] = alone;
const GENERATIONS = named.generation ? [Number(named.generation)] : [5, 3];
const CUTS = Number(named.cuts ?? 5);
const AWAY = Number(named.away ?? 60);
const STRICT = (named.duplicates ?? "few") === "none";
const SECONDS = Number(named.seconds ?? 90);

await run(SECONDS * 1000, async () => {
  const results = {};
  for (const generation of GENERATIONS) {
    const result = await reconnect(generation);
    results[result.version] = result;
  }
  return { clients: results };
});

async function reconnect(generation) {
  const door = await proxy(Number(new URL(url).port), new URL(url).hostname);
  const received = [];
  const events = [];
  const client = await subscribe(generation, through(door, url), {
    message: (text) => received.push(text),
    event: (name, detail) => events.push(detail ? `${name} ${detail}` : name),
  });
  const publisher = await publish(client);
  const { published } = publisher;

  // While the client is connected, so that there is something before the first gap.
  for (let n = 0; n < 20; n++) await publisher.next();
  await arrived(client, received, published);

  // A clean cut: everything so far has arrived and been acknowledged; then nobody is let in for a while.
  await sleep(1000);
  const before = received.length;
  const reopened = count(events, "reopen");
  door.refuse();
  door.cut();
  await until(() => events.some((event) => event.startsWith("close")), 5000, `${client.name} notices the cut; events ${events}`);
  for (let n = 0; n < AWAY; n++) await publisher.next(["|", "a|b", "3|x", "  spaces ", "\u{1F600}\u00e9", "l\nf"][n % 6]);
  check(received.length === before, `${client.name} received ${brief(received.at(-1))} over a connection that was cut`);
  door.admit();
  const admitted = performance.now();
  await arrived(client, received, published);
  const returned = Math.round(performance.now() - admitted);
  await until(() => count(events, "reopen") > reopened, 5000, () => `${client.name} says that it reopened; events ${events}`);
  const clean = compare(client, received, published);
  check(clean.duplicated === 0, `${clean.duplicated} messages came twice to ${client.name} although they had been acknowledged`);

  // Rough cuts, in the middle of the stream.
  let flowing = true;
  const flow = (async () => {
    while (flowing) {
      await publisher.next("a|b|c");
      if (published.length % 8 === 0) await sleep(1);
    }
  })();
  for (let cut = 0; cut < CUTS; cut++) {
    const reopens = count(events, "reopen");
    await sleep(120 + 37 * cut);
    // What is on its way when a machine goes: written by the server, and never received.
    door.stall();
    await sleep(30);
    door.cut();
    await until(() => count(events, "reopen") > reopens, 15_000, () => `${client.name} comes back after cut ${cut + 1}; events ${events.slice(-6)}`);
  }
  flowing = false;
  await flow;
  await arrived(client, received, published);
  await sleep(300);

  const { duplicated } = compare(client, received, published);
  check(!STRICT || duplicated === 0, `${duplicated} messages came twice to ${client.name}`);
  const { asked, named } = client.record;
  check(named.length > 0, `${client.name} was never given a tracking id`);
  check(asked[0] === "0" && asked.slice(1).every((id) => id === named[0]), `${client.name} was named ${named[0]} and asked with ${[...new Set(asked)]}`);
  check(new Set(named).size === 1, `the server changed the tracking id: ${[...new Set(named)]}`);
  if (generation === 3) check(named.length === 1, "3.1.3 was greeted by a second handshake");
  check(!events.includes("gave-up"), `${client.name} gave up`);

  client.close();
  publisher.close();
  door.close();
  return {
    version: client.name,
    published: published.length,
    while_away: AWAY,
    received: received.length,
    lost: 0,
    duplicated,
    cuts: CUTS + 1,
    connections: asked.length,
    reopened: count(events, "reopen"),
    caught_up_ms: returned,
  };
}

/** Publishes by POST and by a bare WebSocket in turns, each when the one before is in the topic, so that their order is one. */
async function publish(client) {
  const socket = await bare(publishUrl);
  const published = [];
  const next = async (text = "") => {
    const n = published.length;
    // The text stands at both ends, so that what happens there shows.
    const message = `${text}#${client.name}:${n}#${text}`;
    published.push(message);
    const before = socket.received.length;
    if (n % 2 === 0) await post(publishUrl, message);
    else socket.push(message);
    await until(() => socket.received.length > before, 10_000, `the publisher hears its message ${n}`);
    const heard = socket.received[before];
    check(heard === message, `the publisher should have heard ${brief(message)} and heard ${brief(heard)}`);
  };
  return { published, next, close: () => socket.close() };
}

async function arrived(client, received, published) {
  const last = seenBy(client.generation, published.at(-1));
  await until(
    () => received.at(-1) === last,
    15_000,
    () => `${client.name} has the last of ${published.length} messages; it has ${received.length}, at last ${brief(received.at(-1) ?? "")}`,
  );
}

/**
 * Checks that what was received is what was published, in order, but for messages that came again
 * after a reconnection: the sequence may step back, and never forward over a message.
 */
function compare(client, received, published) {
  const places = new Map(published.map((text, n) => [seenBy(client.generation, text), n]));
  let next = 0;
  let most = 0;
  let steps = 0;
  for (const text of received) {
    const place = places.get(text);
    check(place !== undefined, `${client.name} handed to the application what nobody published: ${brief(text)}`);
    check(place <= next, `${client.name} received message ${place} where ${next} was next: ${place - next} are missing or out of order`);
    if (place < next) steps++;
    next = place + 1;
    most = Math.max(most, next);
  }
  check(most === published.length, `${client.name} has ${most} of ${published.length} messages`);
  const returns = client.record.asked.length - 1;
  check(steps <= returns, `${client.name} received messages again ${steps} times, and reconnected ${returns} times`);
  return { duplicated: received.length - published.length };
}

function count(events, name) {
  return events.filter((event) => event === name).length;
}
