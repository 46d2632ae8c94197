// A browser and its cookie: Chromium keeps the one that comes with a WebSocket's upgrade, shows it by
// every transport and from every tab, and hides it from its pages.

import { chromium } from "playwright-core";
import { check, readArguments, run } from "./clients.mjs";

const { alone, named } = readArguments("cookie.mjs URL_A URL_B [--chromium /usr/bin/chromium] [--seconds 60]", 2);
const [urlA, urlB] = alone;

await run(Number(named.seconds ?? 60) * 1000, async () => {
  const browser = await chromium.launch({
    executablePath: named.chromium ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"],
  });
  try {
    return await drive(browser);
  } finally {
    await browser.close();
  }
});

async function drive(browser) {
  const context = await browser.newContext();
  const page = await open(context);
  const first = await page.evaluate(socket, "0");
  const [cookie, ...others] = await context.cookies(urlA);
  check(cookie && others.length === 0, `one cookie, and not ${others.length + 1}`);
  check(cookie.httpOnly && cookie.sameSite === "Lax", `it is for the node alone: ${JSON.stringify(cookie)}`);
  check((await page.evaluate(() => document.cookie)) === "", "the page does not see it");

  const id = await page.evaluate(socket, "0");
  check(id !== first, "a session of its own");
  check((await page.evaluate(socket, id)) === id, "found by a WebSocket");
  const tab = await open(context);
  const stranger = await open(await browser.newContext());
  const transports = ["polling", "sse", "streaming", "long-polling"];
  for (const transport of transports) {
    const how = [`/chat/a?X-Atmosphere-Transport=${transport}&X-Atmosphere-Framework=5.0.45`, id];
    check((await page.evaluate(ask, how)) === id, `found by ${transport}`);
    check((await tab.evaluate(ask, how)) === id, `found by ${transport} in another tab`);
    check((await stranger.evaluate(ask, how)) !== id, `${transport} in another browser`);
    for (const url of [urlA, urlB]) {
      const asked = [new URL(how[0], url).href, id];
      check((await ask(asked)) !== id, `${transport} by a program at ${url}`);
      check((await ask([...asked, `${cookie.name}=${cookie.value}`])) === id, `${transport} with the cookie at ${url}`);
    }
  }
  check((await stranger.evaluate(socket, id)) !== id, "a WebSocket in another browser");
  return { transports: transports.length };
}

async function open(context) {
  const page = await context.newPage();
  await page.goto(new URL("/exosphere.js", urlA).href);
  return page;
}

/** The session that a WebSocket gets. Runs in the page. */
function socket(id) {
  const query = `X-Atmosphere-tracking-id=${id}&X-Atmosphere-Framework=5.0.45&X-Atmosphere-Transport=websocket&X-atmo-protocol=true`;
  const socket = new WebSocket(`ws://${location.host}/chat/a?${query}`);
  return new Promise((resolve, reject) => {
    socket.onmessage = ({ data }) => {
      socket.close(4000);
      resolve(data.split("|")[0]);
    };
    socket.onerror = () => reject(new Error("no WebSocket"));
  });
}

/** The session that a request gets. Runs in the page, too. */
async function ask([url, id, cookie]) {
  const end = new AbortController();
  const headers = { "X-Atmosphere-tracking-id": id, ...(cookie && { Cookie: cookie }) };
  const answer = await fetch(url, { headers, signal: end.signal });
  end.abort();
  return answer.headers.get("X-Atmosphere-tracking-id");
}
