// A page with exosphere.js in Chromium, which is loaded again, opened twice, and cut off from the
// network and led to another node, again and again, while others publish and it does itself. Every
// session must be told of each message from its first to its last once, and what a page pushed must be
// heard once.

import { chromium } from "playwright-core";
import { brief, check, post, proxy, readArguments, run, sleep, through, until, WebSocket } from "./clients.mjs";

globalThis.WebSocket = WebSocket;
const { connect } = await import("../../src/client/script/exosphere.mjs");

const { alone, named } = readArguments("cycles.mjs URL_A URL_B [--cycles 15] [--locks no] [--by websocket] [--chromium /usr/bin/chromium] [--seconds 120]", 2);
const urls = alone.slice(0, 2);
const CYCLES = Number(named.cycles ?? 15);
const PATIENCE_MS = 15_000;
const PATH = `/chat/cycles-${process.pid}`;
const PUBLISH_EVERY_MS = 30;
const PUSH_EVERY_MS = 50;

// What a page was told and what it pushed stands in localStorage, where it is as soon as it is written.
const PAGE = `<!doctype html><title>cycles</title><script type="module">
import { connect } from "/exosphere.mjs";
const note = (kind, text) => {
  const key = "log " + kind + " " + client.session + " " + text;
  localStorage.setItem(key, Number(localStorage.getItem(key) ?? 0) + 1);
};
const load = Math.random().toString(36).slice(2);
let pushed = 0;
const client = window.client = connect(${JSON.stringify(PATH)}, {
  persist: "cycles",
  transports: [${JSON.stringify(named.by ?? "websocket")}],
  ackInterval: 2000,
  onMessage: (text) => {
    if (!text.startsWith("p")) return;
    note("told", text);
    window.last = Number(text.slice(1));
  },
  onState: (state, why) => {
    if (state === "expired" || state === "superseded" || state === "closed") note("trouble", state + " " + why);
  },
  onGap: () => note("trouble", "gap"),
  onError: (error) => note("trouble", String(error)),
});
setInterval(() => {
  if (window.quiet || client.session === null) return;
  const text = "m" + load + ":" + pushed++;
  client.push(text);
  note("pushed", text);
}, ${PUSH_EVERY_MS});
</script>`;

/** What pages have written down. */
class Log {
  told = new Map();
  pushed = new Set();
  trouble = [];

  add(entries) {
    for (const [key, count] of entries) {
      const [, kind, session, ...rest] = key.split(" ");
      const text = rest.join(" ");
      if (kind === "trouble") this.trouble.push(text);
      if (kind === "pushed") this.pushed.add(text);
      if (kind !== "told") continue;
      if (!this.told.has(session)) this.told.set(session, new Map());
      const told = this.told.get(session);
      told.set(text, (told.get(text) ?? 0) + Number(count));
    }
  }
}

await run(Number(named.seconds ?? 120) * 1000, async () => {
  const browser = await chromium.launch({
    executablePath: named.chromium ?? process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      // The page is made here, and so counts as one of the world's.
      "--disable-features=LocalNetworkAccessChecks",
    ],
  });
  try {
    return await drive(browser);
  } finally {
    await browser.close();
  }
});

async function drive(browser) {
  const door = await proxy(Number(new URL(urls[0]).port), new URL(urls[0]).hostname);
  const url = through(door, `${urls[0]}/cycles.html`);
  const context = await browser.newContext();
  context.setDefaultTimeout(PATIENCE_MS);
  if (named.locks === "no") {
    await context.addInitScript(() => Object.defineProperty(navigator, "locks", { value: undefined }));
  }
  await context.route("**/cycles.html", (route) => route.fulfill({ contentType: "text/html", body: PAGE }));
  const heard = new Map();
  const hearing = connect(urls.map((url) => url + PATH), {
    onMessage: (text) => void heard.set(text, (heard.get(text) ?? 0) + 1),
  });
  await until(() => hearing.session !== null, PATIENCE_MS, "the reader is connected");

  const log = new Log();
  const page = await context.newPage();
  await page.goto(url);
  await connected(page);
  const [first] = [await page.evaluate(() => client.session)];
  const publisher = publish(heard);
  const began = performance.now();
  let moves = 0;
  for (let cycle = 0; cycle < CYCLES; cycle++) {
    await page.reload();
    await hearsNext(page, heard);

    const [twin] = await Promise.all([context.waitForEvent("page"), page.evaluate(() => void window.open(location.href))]);
    await connected(twin);
    if (cycle % 2 === 0) await twin.reload();
    await hearsNext(twin, heard);
    const sessions = await Promise.all([page, twin].map((one) => one.evaluate(() => client.session)));
    check(sessions[0] === first, `the page's session changed in cycle ${cycle}`);
    check(sessions[0] !== sessions[1], `two tabs have one session in cycle ${cycle}`);
    await twin.close();

    const node = await page.evaluate(() => client.node);
    await context.setOffline(true);
    door.target(Number(new URL(urls[(cycle + 1) % 2]).port));
    door.cut();
    await page.waitForFunction(() => client.state !== "connected");
    await sleep(100);
    await context.setOffline(false);
    await connected(page);
    await hearsNext(page, heard);
    moves += Number((await page.evaluate(() => client.node)) !== node);
    log.add(await drain(page));
    if (cycle % 20 === 19) process.stderr.write(`cycle ${cycle + 1} after ${Math.round((performance.now() - began) / 1000)} s\n`);
  }
  const seconds = (performance.now() - began) / 1000;
  const published = await publisher.stop();
  await page.evaluate(() => void (window.quiet = true));
  await page.waitForFunction(() => client.pending === 0);
  // The last twin may have gone with something unsaid, which the next has to say.
  const [twin] = await Promise.all([context.waitForEvent("page"), page.evaluate(() => void window.open(location.href))]);
  await connected(twin);
  await twin.evaluate(() => void (window.quiet = true));
  await twin.waitForFunction(() => client.pending === 0);
  await until(() => heard.has(`p${published - 1}`), PATIENCE_MS, "all that was published is heard");
  await sleep(1000);
  log.add(await drain(page));
  const result = judge(log, heard, first, published);
  hearing.close();
  door.close();
  check(CYCLES < 2 || moves > 0, "the page never moved");
  return { cycles: CYCLES, ...result, moves, seconds: Number(seconds.toFixed(1)) };
}

/** Takes what pages have written down until now. */
function drain(page) {
  return page.evaluate(() => {
    const entries = Object.entries(localStorage).filter(([key]) => key.startsWith("log "));
    for (const [key] of entries) localStorage.removeItem(key);
    return entries;
  });
}

function judge(log, heard, first, published) {
  let [told, lost, duplicated] = [0, 0, 0];
  const examples = [];
  for (const [session, texts] of log.told) {
    const numbers = [...texts.keys()].map((text) => Number(text.slice(1)));
    const from = Math.min(...numbers);
    // The first page was there to the end.
    const to = session === first ? published - 1 : Math.max(...numbers);
    for (let number = from; number <= to; number++) {
      const count = texts.get(`p${number}`) ?? 0;
      told += count;
      lost += Number(count === 0);
      duplicated += Math.max(0, count - 1);
      if (count !== 1) examples.push(`${session.slice(0, 8)} p${number} ${count} times`);
    }
  }
  let [pushesLost, pushesDuplicated] = [0, 0];
  for (const text of log.pushed) pushesLost += Number(!heard.has(text));
  for (const [text, count] of heard) if (text.startsWith("m")) pushesDuplicated += count - 1;
  const sum = { sessions: log.told.size, published, told, lost, duplicated, pushed: log.pushed.size, pushesLost, pushesDuplicated };
  const fine = lost + duplicated + pushesLost + pushesDuplicated + log.trouble.length === 0;
  check(fine, `${JSON.stringify(sum)}; ${brief(examples.slice(0, 8).join(", "))}; trouble: ${brief(log.trouble.slice(0, 5).join())}`);
  return sum;
}

/** Publishes p0, p1, ..., on either node in turn. */
function publish() {
  let stopped = false;
  const publishing = (async () => {
    let number = 0;
    while (!stopped) {
      await post(urls[number % 2] + PATH, `p${number++}`);
      await sleep(PUBLISH_EVERY_MS);
    }
    return number;
  })();
  return {
    stop: () => {
      stopped = true;
      return publishing;
    },
  };
}

async function connected(page) {
  await page.waitForFunction(() => window.client?.state === "connected");
}

/** Waits until the page was told of something that was published from now on. */
async function hearsNext(page, heard) {
  await connected(page);
  const last = Math.max(-1, ...[...heard.keys()].slice(-200).filter((text) => text.startsWith("p")).map((text) => Number(text.slice(1))));
  await page.waitForFunction((last) => window.last > last, last);
}
