// The console of Tower Control in Chromium, on a live cluster of three nodes with many clients: every page,
// light and dark, wide and narrow, without a complaint of the browser's or of axe's; what operators do,
// seen by a client of another node; hostile text as text; and a node that is killed while it is watched.
// Keeps screenshots.

import fs from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";
import { WebSocket } from "ws";
import { check, readArguments, run, sleep, until } from "./clients.mjs";
import { client, launch, openConsole, PATIENCE, visit } from "./console-page.mjs";
import { Crowd, HOSTILE, HOSTILE_ROOM } from "./crowd.mjs";

const { alone, named } = readArguments(
  "console.mjs URL_A URL_B URL_C CONTROL_A CONTROL_C PID_B PID_C SCREENSHOT_DIR [--clients 60] [--chromium /usr/bin/chromium] [--seconds 300]",
  8,
);
const [urlA, urlB, urlC, controlA, controlC, pidB, pidC, shots] = alone;
const CLIENTS = Number(named.clients ?? 60);
/** Within this a node that was killed is to be shown as gone. */
const LOST_MS = 3_000;
const ROOM = "/chat/console";
const SIZES = { desktop: { width: 1440, height: 900 }, phone: { width: 390, height: 844 } };
/** What each page shows once it has its answers. */
const READY = {
  overview: ".planet-node", nodes: "tbody tr", topics: "tbody tr", sessions: "tbody tr", messages: "form", statistics: ".chart-line[d*=L]",
  configuration: ".facts", licence: ".verdict-word", audit: ".table", node: ".masonry .panel", topic: "tbody tr", session: ".facts", explain: ".verdict",
};
const axe = await fs.readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

await run(Number(named.seconds ?? 300) * 1000, async () => {
  await fs.mkdir(shots, { recursive: true });
  const browser = await launch(named.chromium);
  const crowd = new Crowd([urlA, urlB, urlC]);
  try {
    await crowd.gather(CLIENTS);
    return await drive(browser, crowd);
  } finally {
    crowd.stop();
    await browser.close();
  }
});

async function drive(browser, crowd) {
  const complaints = [];
  const findings = [];
  const steps = [];
  let page;
  const step = async (name, work) => {
    try {
      await work();
    } catch (error) {
      await shot(page, "failed");
      throw new Error(`${name}: ${error.message.split("\n")[0]}; at ${page?.url()}; console: ${complaints.slice(0, 5)}`);
    }
    steps.push(name);
  };
  const open = (control, options) => openConsole(browser, control, complaints, options);

  let known;
  await step("the token leaves the address, and the whole cluster is shown", async () => {
    page = await open(controlA, { viewport: SIZES.desktop, colorScheme: "light" });
    check(!page.url().includes("token"), `the address is ${page.url()}`);
    await page.waitForFunction(() => document.querySelectorAll(".planet-node[data-state=active]").length === 3);
    const sessions = await page.waitForFunction((least) => {
      const shown = Number(document.querySelector(".figures .figure:nth-child(2) .figure-value").textContent.replace(",", ""));
      return shown >= least && shown;
    }, CLIENTS * 0.9);
    check((await sessions.jsonValue()) <= CLIENTS + 5, `${await sessions.jsonValue()} sessions of ${CLIENTS} clients`);
    known = await learn();
  });

  for (const [theme, size] of [["light", "desktop"], ["dark", "desktop"], ["light", "phone"], ["dark", "phone"]]) {
    await step(`every page is fit to be seen: ${theme}, ${size}`, async () => {
      page = await open(controlA, { viewport: SIZES[size], colorScheme: theme });
      for (const [name, hash] of Object.entries(known.pages)) {
        await visit(page, hash, READY[name]);
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        check(wide <= 0, `${name} is ${wide} px too wide`);
        await examine(page, `${name} ${theme} ${size}`, findings);
        await page.screenshot({ path: path.join(shots, `${name}-${theme}-${size}.png`) });
      }
      await unharmed(page, complaints);
      await page.context().close();
    });
  }

  page = await open(controlA, { viewport: SIZES.desktop, colorScheme: "dark" });
  await step("a message that an operator publishes is at a client of another node", async () => {
    const socket = await client(`${urlB}${ROOM}`);
    await visit(page, `#/topics/${encodeURIComponent(ROOM)}`, "textarea[name=message]");
    const text = `${HOSTILE} from the tower`;
    await page.fill("textarea[name=message]", text);
    await page.click("form[aria-label=Publish] button[type=submit]");
    await page.waitForSelector("form[aria-label=Publish] .outcome.good");
    await until(() => socket.received.includes(text), PATIENCE, () => `the client got ${socket.received}`);
    await page.waitForFunction((text) => [...document.querySelectorAll(".payload")].some((it) => it.textContent === text), text);
    // A topic that nobody reads is forgotten while it is looked at.
    await visit(page, "#/overview", ".planet-node");
    socket.close();
  });

  await step("what hurts is asked for first, named, and then done and written down", async () => {
    // A room of its own: the session of a client that has left may be taken for attached a while longer.
    const room = `${ROOM}-asked`;
    const socket = await client(`${urlB}${room}`);
    const { id: session } = await first(`sessions?topic=${encodeURIComponent(room)}&state=attached`);
    await visit(page, `#/sessions/${session}`, ".facts");
    await page.click(".page-tools button:has-text(\"Close\")");
    await page.waitForSelector(`dialog.confirm:has-text("${session}")`);
    await examine(page, "a question", findings);
    await page.screenshot({ path: path.join(shots, "question.png") });
    await page.keyboard.press("Escape");
    await page.waitForSelector("dialog", { state: "detached" });
    check(socket.readyState === WebSocket.OPEN, "what was called off was done");
    await page.click(".page-tools button:has-text(\"Close\")");
    await page.click("dialog.confirm button.danger");
    await until(() => socket.readyState === WebSocket.CLOSED, PATIENCE, () => "the client is still connected");
    await page.waitForSelector("h1:text-is('Sessions')");
    // The page may have asked for it once more as it was closed, which Chromium writes to the console.
    const others = complaints.filter((it) => !it.endsWith(`/sessions/${session}`));
    complaints.splice(0, complaints.length, ...others);
    await visit(page, "#/audit", ".table");
    await page.waitForSelector(`td:has-text("${session}")`);
  });

  await step("keys lead everywhere", async () => {
    // As above, the topic is to be there for as long as it is looked at.
    const socket = await client(`${urlB}${ROOM}`);
    await page.keyboard.press("g");
    await page.keyboard.press("n");
    await page.waitForSelector("main[data-page=nodes]");
    await page.keyboard.press("/");
    await page.waitForSelector("dialog.palette");
    await page.keyboard.type("/chat/con");
    await page.waitForSelector(`[role=option]:has-text("${ROOM}")`);
    await examine(page, "the search", findings);
    await page.screenshot({ path: path.join(shots, "search.png") });
    await page.keyboard.press("Enter");
    await page.waitForSelector(`h1:has-text("${ROOM}")`);
    await page.keyboard.press("?");
    await page.waitForSelector("dialog.help");
    await examine(page, "the help", findings);
    await page.keyboard.press("Escape");
    await visit(page, "#/overview", ".planet-node");
    socket.close();
  });
  await unharmed(page, complaints);
  check(complaints.length === 0, `the browser says: ${[...new Set(complaints)].slice(0, 5).join("; ")}`);
  check(findings.length === 0, `axe says: ${[...new Set(findings)].slice(0, 5).join("; ")}`);

  let lostMs;
  await step("a node that is killed is shown as gone within 3 s", async () => {
    await visit(page, "#/overview", ".planet-node");
    await page.waitForFunction(() => document.querySelectorAll(".planet-node[data-state=active]").length === 3);
    const began = performance.now();
    process.kill(Number(pidB), "SIGKILL");
    await page.waitForFunction(() => document.querySelectorAll(".planet-node[data-state=gone], .planet-node[data-state=silent]").length === 1, null, { polling: 20 });
    lostMs = Math.round(performance.now() - began);
    check(lostMs <= LOST_MS, `it took ${lostMs} ms`);
    await page.screenshot({ path: path.join(shots, "lost.png") });
  });
  check(complaints.length === 0, `the browser says: ${[...new Set(complaints)].slice(0, 5).join("; ")}`);

  // From here on requests fail on purpose, which Chromium itself writes to the console.
  await step("who watches a node that is gone itself is told so, and it goes on trying", async () => {
    page = await open(controlC, { viewport: SIZES.desktop, colorScheme: "light" });
    process.kill(Number(pidC), "SIGKILL");
    await page.waitForSelector("#banner:not([hidden])");
    check(/does not answer/.test(await page.textContent("#banner")), await page.textContent("#banner"));
    const tries = [];
    page.on("request", (request) => request.url().endsWith("/cluster") && tries.push(request.url()));
    await until(() => tries.length >= 2, PATIENCE, () => `it tried ${tries.length} times`);
    await page.screenshot({ path: path.join(shots, "cut-off.png") });
  });
  return { steps, clients: CLIENTS, heard: crowd.heard, lostMs };
}

/** Asks as the console does. */
async function ask(where) {
  const { origin, searchParams } = new URL(controlA);
  const answer = await fetch(`${origin}/api/v1/${where}`, { headers: { Authorization: `Bearer ${searchParams.get("token")}` } });
  return answer.ok ? answer.json() : null;
}

/** The first of a list, once there is one. */
async function first(where) {
  const end = performance.now() + PATIENCE;
  for (;;) {
    const page = await ask(where);
    if (page?.items.length > 0) return page.items[0];
    check(performance.now() < end, `there is nothing at ${where}`);
    await sleep(50);
  }
}

/** The address of every page. */
async function learn() {
  const { nodes } = await ask("cluster");
  const room = encodeURIComponent(HOSTILE_ROOM);
  const session = await first(`sessions?topic=${room}`);
  const message = await first(`topics/${room}/messages?limit=1`);
  const lists = ["overview", "nodes", "topics", "sessions", "messages", "statistics", "configuration", "licence", "audit"];
  return { pages: {
    ...Object.fromEntries(lists.map((name) => [name, `#/${name}`])),
    node: `#/nodes/${nodes[0].id}`,
    topic: `#/topics/${room}`,
    session: `#/sessions/${session.id}`,
    explain: `#/messages/${message.id}?session=${session.id}`,
  } };
}

async function examine(page, where, findings) {
  // What fades in has other colours until it is there.
  await page.evaluate(() => {
    const ends = document.getAnimations().filter((it) => it.effect.getComputedTiming().endTime < Infinity);
    return Promise.allSettled(ends.map((it) => it.finished)).then(() => null);
  });
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  for (const { id, impact, nodes } of violations) {
    if (["serious", "critical"].includes(impact)) findings.push(`${where}: ${id} at ${nodes[0].target}`);
  }
}

async function unharmed(page, complaints) {
  const harm = await page.evaluate(() => [window.harmed, document.querySelectorAll("main img, main script, #harm").length, window.violations]);
  check(harm[0] === undefined && harm[1] === 0, `a text became part of the page: ${harm}`);
  complaints.push(...harm[2].map((directive) => `violates ${directive}`));
}

async function shot(page, name) {
  await page?.screenshot({ path: path.join(shots, `${name}.png`) }).catch(() => {});
}
