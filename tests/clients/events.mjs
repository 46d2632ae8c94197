// Readers of event streams: the one from npm, and Chromium's own. Each reads every URL; the texts are
// posted once, and what each reader saw is told.

import fs from "node:fs/promises";
import { EventSource } from "eventsource";
import { chromium } from "playwright-core";
import { check, post, readArguments, run, until } from "./clients.mjs";

const { alone, named } = readArguments(
  "events.mjs TEXTS.json POST_URL URL... [--chromium /usr/bin/chromium] [--seconds 60]",
  3,
);
const [texts, target, ...urls] = alone;
const PATIENCE = 20_000;
// What a text would be if it came to be an event of its own.
const KINDS = ["message", "forged"];

await run(Number(named.seconds ?? 60) * 1000, async () => {
  const sent = JSON.parse(await fs.readFile(texts, "utf8"));
  const readers = urls.map(npm);
  const browser = named.chromium ? await launch(named.chromium) : undefined;
  try {
    if (browser) readers.push(...(await Promise.all(urls.map((url) => page(browser, url)))));
    for (const reader of readers) await settle(reader, ({ opened }) => opened > 0, "it opens");
    for (const text of sent) await post(target, text);
    for (const reader of readers) {
      await settle(reader, ({ events }) => events.length >= sent.length, `${sent.length} events`);
    }
    const seen = await Promise.all(readers.map(async ({ name, url, state }) => ({ name, url, ...(await state()) })));
    return { readers: seen };
  } finally {
    await browser?.close();
    readers.forEach((reader) => reader.close?.());
  }
});

function npm(url) {
  const state = { opened: 0, failed: 0, events: [] };
  const source = new EventSource(url);
  watch(source, state, KINDS);
  return { name: "npm", url, state: async () => state, close: () => source.close() };
}

async function page(browser, url) {
  const page = await browser.newPage();
  await page.goto(new URL("/exosphere.js", url).href);
  await page.evaluate(
    ([url, kinds, watch]) => {
      globalThis.state = { opened: 0, failed: 0, events: [] };
      globalThis.source = new EventSource(url);
      (0, eval)(`(${watch})`)(globalThis.source, globalThis.state, kinds);
    },
    [url, KINDS, watch.toString()],
  );
  return { name: "chromium", url, state: () => page.evaluate(() => globalThis.state) };
}

/** Writes down what a source tells. Runs in the page, too. */
function watch(source, state, kinds) {
  source.onopen = () => (state.opened += 1);
  source.onerror = () => (state.failed += 1);
  for (const kind of kinds) {
    source.addEventListener(kind, ({ data, lastEventId }) => state.events.push({ kind, data, id: lastEventId }));
  }
}

async function settle({ name, url, state }, condition, what) {
  let now = await state();
  const look = setInterval(async () => (now = await state().catch(() => now)), 50);
  try {
    await until(() => condition(now), PATIENCE, () => `${name} at ${url}: ${what}, but ${JSON.stringify(now).slice(0, 300)}`);
    check(now.failed === 0, `${name} at ${url} failed`);
  } finally {
    clearInterval(look);
  }
}

function launch(executablePath) {
  const args = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"];
  return chromium.launch({ executablePath, args });
}
