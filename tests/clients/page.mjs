// The chat page in Chromium on two nodes: it chats across them, shows who is on which node, changes
// rooms, shows hostile text as text, and says nothing to the console. Keeps screenshots.

import fs from "node:fs/promises";
import path from "node:path";
import { chromium } from "playwright-core";
import { bare, brief, check, post, proxy, readArguments, run, sleep, subscribe, through } from "./clients.mjs";

const { alone, named } = readArguments(
  "page.mjs URL_A URL_B SCREENSHOT_DIR [--chromium /usr/bin/chromium] [--seconds 120]",
  3,
);
const [urlA, urlB, shots] = alone;
const PATIENCE = 10_000;
const ROOM = `test-${process.pid}`;
const HOSTILE = [
  "<img src=x onerror=\"window.harmed = true\">",
  "<script>window.harmed = true</script>",
  "</p></li><b id=harm>harm</b>",
  "javascript:alert(1) {{7*7}} ${window.harmed=true}",
];

await run(Number(named.seconds ?? 120) * 1000, async () => {
  await fs.mkdir(shots, { recursive: true });
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
    ],
  });
  try {
    return await drive(browser);
  } finally {
    await browser.close();
  }
});

async function drive(browser) {
  const complaints = [];
  const steps = [];
  const step = async (name, work) => {
    try {
      await work();
    } catch (error) {
      const where = await Promise.all(pages.map((page, n) => shot(page, `failed-${n}`).then(() => summary(page))));
      throw new Error(`${name}: ${error.message.split("\n")[0]}; pages: ${JSON.stringify(where)}; console: ${complaints.slice(0, 5)}`);
    }
    steps.push(name);
  };
  const pages = [];
  const open = async (url, name, options = {}) => {
    const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
    const page = await context.newPage();
    page.setDefaultTimeout(PATIENCE);
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) complaints.push(`${name}: ${message.text()}`);
    });
    page.on("pageerror", (error) => complaints.push(`${name}: ${error.message}`));
    page.on("requestfailed", (request) => complaints.push(`${name}: ${request.url()} ${request.failure()?.errorText}`));
    page.on("request", (request) => {
      const host = new URL(request.url()).host;
      if (request.url().startsWith("http") && host !== new URL(url).host) complaints.push(`${name}: asked ${host}`);
    });
    pages.push(page);
    await page.goto(`${url}/?name=${encodeURIComponent(name)}#${ROOM}`);
    return page;
  };

  const nodes = {};
  let ada;
  let grace;
  await step("both pages connect, each to its node", async () => {
    ada = await open(urlA, "Ada Lovelace");
    await connected(ada);
    grace = await open(urlB, "Grace Hopper");
    await connected(grace);
    for (const [key, url, page] of [["a", urlA, ada], ["b", urlB, grace]]) {
      nodes[key] = (await (await fetch(`${url}/node`)).json()).id;
      check(/^[0-9a-f]{16}$/.test(nodes[key]), `/node of ${url} says ${nodes[key]}`);
      await page.waitForSelector(`body[data-node="${nodes[key]}"]`);
    }
    check(nodes.a !== nodes.b, "both pages are on one node");
  });

  await step("each page shows both people, on their nodes", async () => {
    for (const page of [ada, grace]) {
      await page.waitForSelector(`#nodes .node[data-node="${nodes.a}"] .person:has-text("Ada Lovelace")`, { state: "attached" });
      await page.waitForSelector(`#nodes .node[data-node="${nodes.b}"] .person:has-text("Grace Hopper")`, { state: "attached" });
    }
    check((await ada.textContent("#room-summary")) === "2 people on 2 nodes", await ada.textContent("#room-summary"));
  });

  await step("they talk across nodes, in order", async () => {
    const talk = [
      [ada, "Good evening from the first node."],
      [grace, "And from the second! Is that one room?"],
      [ada, "One room, and nobody in between:\nthe nodes found each other."],
      [grace, "Emoji \u{1F680}, bars a|X, 3|abc - all as they were."],
    ];
    for (const [page, text] of talk) {
      await say(page, text);
      for (const other of [ada, grace]) await hears(other, text);
    }
    const shown = await Promise.all([ada, grace].map(texts));
    check(JSON.stringify(shown[0]) === JSON.stringify(talk.map(([, text]) => text)), `shown: ${brief(shown[0].join())}`);
    check(JSON.stringify(shown[0]) === JSON.stringify(shown[1]), "the pages show different conversations");
    check((await ada.locator("[data-pending]").count()) === 0, "a message is still shown as unsent");
    const sender = await grace.locator(".message").first().evaluate((line) => ({ ...line.dataset }));
    check(sender.name === "Ada Lovelace" && sender.node === nodes.a, `the first message is shown as from ${sender.name} on ${sender.node}`);
  });

  await step("Enter sends, Shift+Enter does not", async () => {
    await ada.focus("#text");
    await ada.keyboard.type("by");
    await ada.keyboard.press("Shift+Enter");
    await ada.keyboard.type("keyboard");
    await ada.keyboard.press("Enter");
    await hears(grace, "by\nkeyboard");
    check((await ada.inputValue("#text")) === "", "the field is not empty after sending");
  });

  await step("hostile text is text, whoever sends it", async () => {
    const socket = await bare(`${urlB}/chat/${ROOM}`);
    for (const text of HOSTILE) {
      await say(grace, text);
      await hears(ada, text);
      socket.push(`bare ${text}`);
      await hears(ada, `bare ${text}`);
      await post(`${urlA}/chat/${ROOM}`, JSON.stringify({ type: "say", name: text, node: text, key: text, from: text, text: `posted ${text}` }));
      await hears(grace, `posted ${text}`);
    }
    await post(`${urlA}/chat/${ROOM}`, "{\"type\":\"say\",\"text\":{\"toString\":1}}");
    await hears(ada, "{\"type\":\"say\",\"text\":{\"toString\":1}}");
    socket.close();
    for (const page of [ada, grace]) {
      const harm = await page.evaluate(() => [
        window.harmed,
        document.querySelectorAll("main img, main script, main #harm, aside img, aside #harm").length,
      ]);
      check(harm[0] === undefined && harm[1] === 0, `a text became part of the page: ${harm}`);
    }
    check((await ada.locator(".message .name", { hasText: "anonymous" }).count()) > 0, "a bare text is not shown as anonymous");
  });

  await step("a stock client joins in", async () => {
    const received = [];
    const client = await subscribe(5, `${urlA}/chat/${ROOM}`, { message: (text) => received.push(text) });
    client.push(JSON.stringify({ type: "hello", name: "Edsger", node: nodes.a, from: "edsger", at: Date.now() }));
    // Twice, as after a reconnection: a page shows a message once.
    for (let n = 0; n < 2; n++) {
      client.push(JSON.stringify({ type: "say", name: "Edsger", node: nodes.a, from: "edsger", key: "e1", text: "I came by npm." }));
    }
    await hears(grace, "I came by npm.");
    await say(grace, "Welcome, Edsger.");
    await wait(() => received.some((text) => text.includes("Welcome, Edsger.")), "the stock client hears the page");
    await hears(grace, "Welcome, Edsger.");
    check((await texts(grace)).filter((text) => text === "I came by npm.").length === 1, "a message that came twice is shown twice");
    await grace.waitForSelector("#nodes .person:has-text(\"Edsger\")", { state: "attached" });
    client.push(JSON.stringify({ type: "bye", from: "edsger", at: Date.now() }));
    await grace.waitForSelector("#nodes .person:has-text(\"Edsger\")", { state: "detached" });
    client.close();
  });

  await step("a name is changed and kept", async () => {
    await grace.fill("#name", "Grace H.");
    await grace.press("#name", "Enter");
    await ada.waitForSelector(`#nodes .node[data-node="${nodes.b}"] .person:has-text("Grace H.")`, { state: "attached" });
    await notices(ada, "Grace Hopper is now Grace H.");
  });

  await shot(ada, "desktop");

  await step("a room is opened, and holds only its own talk", async () => {
    const side = `${ROOM}-side`;
    for (const page of [ada, grace]) {
      await page.fill("#room", ` ${side.toUpperCase()} `);
      await page.press("#room", "Enter");
      await page.waitForSelector(`body[data-room="${side}"][data-state="connected"]`);
      check((await page.locator("#rooms a[aria-current]").textContent()) === side, "the room is not marked as chosen");
    }
    await notices(ada, "Grace H. joined");
    await say(grace, "Quieter here.");
    await hears(ada, "Quieter here.");
    await post(`${urlA}/chat/${ROOM}`, "said in the first room");
    await sleep(300);
    check((await texts(ada)).join() === "Quieter here.", `the room shows ${brief((await texts(ada)).join())}`);
    await ada.click(`#rooms a[href="#${ROOM}"]`);
    await ada.waitForSelector(`body[data-room="${ROOM}"][data-state="connected"]`);
    await notices(grace, "Ada Lovelace left");
    await ada.goBack();
    await ada.waitForSelector(`body[data-room="${side}"][data-state="connected"]`);
    await notices(grace, "Ada Lovelace joined");
  });

  check(complaints.length === 0, `the console says: ${complaints.join("; ")}`);

  // From here on connections fail on purpose, which Chromium itself writes to the console.
  await step("cut off, it keeps what is said, is moved, and lost nothing", async () => {
    const door = await proxy(Number(new URL(urlA).port), new URL(urlA).hostname);
    const alan = await open(through(door, urlA).replace(/\/$/, ""), "Alan Turing");
    await connected(alan);
    await alan.waitForSelector(`body[data-node="${nodes.a}"]`);
    await alan.evaluate(() => {
      window.states = [];
      new MutationObserver(() => window.states.push(document.body.dataset.state)).observe(document.body, {
        attributeFilter: ["data-state"],
      });
    });
    await say(alan, "Said before the cut.");
    await alan.waitForSelector("[data-pending]", { state: "detached" });

    // Without a network it cannot go elsewhere by itself, until we have looked.
    door.refuse();
    await alan.context().setOffline(true);
    door.cut();
    await alan.waitForSelector("body[data-state=offline]");
    await say(alan, "Said while cut off.");
    await alan.waitForSelector("[data-pending]");
    await post(`${urlB}/chat/${ROOM}`, "posted while Alan was away");
    await sleep(400);
    await shot(alan, "offline");
    check((await texts(alan)).length === 2, `it heard ${brief((await texts(alan)).join())} while cut off`);
    await alan.context().setOffline(false);
    await alan.waitForFunction(() => window.states.includes("reconnecting"));
    await shot(alan, "reconnecting");
    // It may go to another node by itself, if it was told of one; otherwise we lead it there.
    door.target(Number(new URL(urlB).port));
    door.admit();
    await connected(alan);
    await hears(alan, "posted while Alan was away");
    await alan.waitForSelector("[data-pending]", { state: "detached" });
    const node = await alan.evaluate(() => document.body.dataset.node);
    check(node !== nodes.a, "it is still on the first node");
    await notices(alan, `moved from node ${nodes.a.slice(0, 8)} to ${node.slice(0, 8)}`);
    const shown = await texts(alan);
    const expected = ["Said before the cut.", "Said while cut off.", "posted while Alan was away"];
    check(shown.join("|") === expected.join("|"), `it shows ${brief(shown.join("|"))}`);
    await shot(alan, "moved");
    await alan.context().close();
    door.close();
    pages.splice(pages.indexOf(alan), 1);
  });

  await step("it fits a narrow screen and a dark one", async () => {
    for (const page of [ada, grace]) await page.evaluate((room) => (location.hash = room), ROOM);
    for (const page of [ada, grace]) await connected(page);
    await grace.waitForSelector(`#nodes .node[data-node="${nodes.a}"] .person:has-text("Ada Lovelace")`, { state: "attached" });
    await converse(ada, grace);
    await shot(ada, "desktop-talk");
    await ada.emulateMedia({ colorScheme: "dark" });
    await shot(ada, "dark");
    await grace.setViewportSize({ width: 390, height: 780 });
    await sleep(300);
    await fits(grace);
    await shot(grace, "narrow");
    await grace.click("#who-button");
    await grace.waitForSelector("#who-button[aria-expanded=true]");
    await sleep(300);
    await shot(grace, "narrow-who");
    await grace.keyboard.press("Escape");
    await grace.waitForSelector("#who-button[aria-expanded=false]");
    await grace.emulateMedia({ colorScheme: "dark" });
    await sleep(300);
    await shot(grace, "narrow-dark");
    await grace.setViewportSize({ width: 820, height: 700 });
    await sleep(300);
    await fits(grace);
    await shot(grace, "medium-dark");
  });

  return { nodes, steps, screenshots: (await fs.readdir(shots)).filter((name) => name.endsWith(".png")).sort() };
}

async function converse(ada, grace) {
  const talk = [
    [ada, "Did you see it? I was on the other node a moment ago."],
    [grace, "You were moved, and nothing was lost."],
    [grace, "Not even the line you wrote while the connection was down."],
    [ada, "It waited here, marked as unsent, and went out once."],
    [grace, "A long line wraps as it should: the analytical engine weaves algebraical patterns just as the Jacquard loom weaves flowers and leaves."],
  ];
  for (const [page, text] of talk) {
    await say(page, text);
    for (const other of [ada, grace]) await hears(other, text);
  }
}

async function connected(page) {
  await page.waitForSelector("body[data-state=connected]");
}

async function say(page, text) {
  await page.fill("#text", text);
  await page.click("#send");
}

async function texts(page) {
  return page.locator(".message .text").allTextContents();
}

async function hears(page, text) {
  await page.waitForFunction(
    (text) => [...document.querySelectorAll(".message .text")].some((line) => line.textContent === text),
    text,
  );
}

async function notices(page, text) {
  await page.waitForFunction(
    (text) => [...document.querySelectorAll(".notice")].some((line) => line.textContent.includes(text)),
    text,
  );
}

async function fits(page) {
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  check(wide <= 0, `the page is ${wide} px wider than its window`);
}

async function wait(condition, what) {
  const end = Date.now() + PATIENCE;
  while (!condition()) {
    check(Date.now() < end, `not within ${PATIENCE} ms: ${what}`);
    await sleep(10);
  }
}

async function shot(page, name) {
  await page.screenshot({ path: path.join(shots, `${name}.png`) }).catch(() => {});
}

async function summary(page) {
  return page
    .evaluate(() => ({
      ...document.body.dataset,
      people: [...document.querySelectorAll(".person-name")].map((person) => person.textContent),
      lines: [...document.querySelectorAll("#messages li")].slice(-4).map((line) => line.textContent.slice(0, 80)),
    }))
    .catch((error) => error.message);
}
