// atmosphere.js 5.0.45 on one URL and 3.1.3 on another, in the same room, each sending N messages:
// both must receive both senders' messages, each once, in the order of its sender, unharmed.

import { bare, brief, check, readArguments, run, seenBy, subscribe, until, VERSIONS } from "./clients.mjs";

const { alone, named } = readArguments("exchange.mjs URL_A URL_B [N] [--window 256] [--seconds 120]", 2);
const [urlA, urlB] = alone;
const N = Number(alone[2] ?? 10_000);
const WINDOW = Number(named.window ?? 256);
const SECONDS = Number(named.seconds ?? 120);

// What breaks a framing that counts bytes, looks at content, or trims. One at a time, and then
// within the stream, behind a number.
const VERBATIM = [
  "plain",
  "|",
  "a|X",
  "1|X",
  "5|hello",
  "3|a|b",
  "41|00000000-0000-4000-8000-000000000000|0|X|",
  "{\"id\":\"7\",\"message\":\"a|b\"}",
  "\u{1F600}\u00e9",
  "\u{1F469}\u200d\u{1F4BB}|\u{1F1EA}\u{1F1FA}|X",
  "two\nlines\r\nand a third\n\nwith a gap",
  "   leading spaces",
  "trailing spaces   ",
  "\n\tboth\t\n",
  "@@/elsewhere@@body",
  "<img src=x onerror=alert(1)>",
  "\u0000\u0001\u007f\u2028\u2029\ufeff.",
];
const LARGE = 512 * 1024;

await run(SECONDS * 1000, async () => {
  const five = await open(5, urlA);
  const three = await open(3, urlB);
  const clients = [five, three];
  // A third reader, which no framing touches, on the second node.
  const reader = await bare(urlB);

  await settle(clients);
  await verbatim(clients, reader);
  const large = await one(clients, reader, three, largeText());
  const stream = await exchange(clients);

  for (const client of clients) {
    check(client.asked.join() === "0", `${client.name} connected with the tracking ids ${client.asked}`);
    check(client.events.join() === "open", `${client.name} saw the events ${client.events}`);
  }
  check(five.named[0] !== three.named[0], "both clients were given the same tracking id");
  for (const client of clients) client.close();
  return {
    versions: VERSIONS,
    verbatim: VERBATIM.length * 2,
    large_units: LARGE,
    large_ms: large,
    ...stream,
  };
});

async function open(generation, url) {
  const received = [];
  const events = [];
  const client = await subscribe(generation, url, {
    message: (text) => received.push(text),
    event: (name, detail) => events.push(detail ? `${name} ${detail}` : name),
  });
  const { asked, named } = client.record;
  return Object.assign(client, { received, events, asked, named });
}

/** Waits until each hears the other: a node may learn a moment later that there is somebody. */
async function settle(clients) {
  for (const client of clients) {
    client.push(`ready ${client.name}`);
    await until(
      () => clients.every((other) => other.received.includes(`ready ${client.name}`)),
      10_000,
      () => `every client has "ready ${client.name}"; ${state(clients)}`,
    );
  }
}

/** Sends each of the harmful texts alone, from either client, so that what arrives is beyond doubt. */
async function verbatim(clients, reader) {
  for (const from of clients) {
    for (const text of VERBATIM) await one(clients, reader, from, text);
  }
}

async function one(clients, reader, from, text) {
  for (const client of clients) client.received.length = 0;
  reader.received.length = 0;
  const began = performance.now();
  from.push(text);
  const all = [...clients, reader];
  await until(
    () => all.every((client) => client.received.length > 0),
    20_000,
    () => `${brief(text)} from ${from.name} reaches everybody; ${state(clients)}, bare: ${reader.received.length}`,
  );
  const took = Math.round(performance.now() - began);
  for (const client of clients) exactly(client.name, client.received, seenBy(client.generation, text));
  exactly("a bare WebSocket", reader.received, text);
  return took;
}

function exactly(who, received, expected) {
  check(
    received.length === 1 && received[0] === expected,
    `${who} should have received ${brief(expected)} and received ${received.slice(0, 3).map(brief).join(", ")}`,
  );
}

/** N numbered messages from each at once, with at most WINDOW of a sender's under way. */
async function exchange(clients) {
  const senders = clients.map((client) => ({
    client,
    sent: 0,
    // How many of this sender's messages each client has.
    seen: new Map(clients.map((reader) => [reader, 0])),
  }));
  let failure = null;
  for (const reader of clients) reader.received.length = 0;
  const began = performance.now();

  const drain = () => {
    for (const reader of clients) {
      for (const text of reader.received.splice(0)) {
        const sender = senders.find((sender) => text.includes(tag(sender)));
        const seen = sender?.seen.get(reader);
        const expected = sender && seenBy(reader.generation, body(sender, seen));
        if (text !== expected) {
          failure ??= sender
            ? `${reader.name} should have received ${brief(expected)} and received ${brief(text)}`
            : `${reader.name} received what nobody sent: ${brief(text)}`;
          return;
        }
        sender.seen.set(reader, seen + 1);
      }
    }
  };
  const least = (sender) => Math.min(...sender.seen.values());

  while (!senders.every((sender) => least(sender) === N)) {
    const before = senders.map(least).join();
    const stalled = performance.now() + 20_000;
    for (const sender of senders) {
      while (sender.sent < N && sender.sent - least(sender) < WINDOW) {
        sender.client.push(body(sender, sender.sent++));
      }
    }
    while (senders.map(least).join() === before) {
      await new Promise((resolve) => setImmediate(resolve));
      drain();
      check(failure === null, failure);
      check(performance.now() < stalled, `nothing for 20 s: ${progress(senders)}`);
    }
  }
  const seconds = (performance.now() - began) / 1000;

  // Nothing may come after the last.
  await new Promise((resolve) => setTimeout(resolve, 300));
  drain();
  check(failure === null, failure);
  for (const sender of senders) {
    for (const [reader, seen] of sender.seen) check(seen === N, `${reader.name} has ${seen} of ${sender.client.name}`);
  }
  return {
    sent: 2 * N,
    received: 4 * N,
    lost: 0,
    duplicated: 0,
    seconds: Number(seconds.toFixed(3)),
    messages_per_second: Math.round((2 * N) / seconds),
    deliveries_per_second: Math.round((4 * N) / seconds),
  };
}

function tag(sender) {
  return `#${sender.client.name}:`;
}

/** The text of a sender's message number `n`: each is unique, every 50th is a harmful one. */
function body(sender, n) {
  const text = n % 50 === 49 ? VERBATIM[Math.floor(n / 50) % VERBATIM.length] : "the quick brown fox";
  // The number stands within the text, so that its ends stay as they are.
  return `${text.slice(0, 2)}${tag(sender)}${n}#${text.slice(2)}`;
}

function progress(senders) {
  return senders
    .flatMap((sender) => [...sender.seen].map(([reader, seen]) => `${reader.name} has ${seen} of ${sender.sent} of ${sender.client.name}`))
    .join(", ");
}

function state(clients) {
  return clients.map((client) => `${client.name}: ${client.received.length} messages, events ${client.events}`).join("; ");
}

function largeText() {
  let text = "";
  while (text.length < LARGE) text += `${text.length.toString(36)}|\u{1F600} `;
  return `${text.slice(0, LARGE - 1)}.`;
}
