// The console in Chromium, and a client of the cluster to see what it does.

import { chromium } from "playwright-core";
import { WebSocket } from "ws";

/** How long anything may take that takes no time worth speaking of. */
export const PATIENCE = 15_000;

/** Chromium, at `path` or where it usually is. */
export function launch(path) {
  return chromium.launch({
    executablePath: path ?? process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
}

/** The console behind a link, once it lives. What the browser has to complain of is put with `complaints`. */
export async function openConsole(browser, control, complaints, options) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE);
  await page.addInitScript(() => {
    window.violations = [];
    document.addEventListener("securitypolicyviolation", (event) => window.violations.push(event.violatedDirective));
  });
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && complaints.push(`${message.text()} ${message.location().url}`));
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("request", (request) => {
    const { host, protocol } = new URL(request.url());
    if (protocol.startsWith("http") && host !== new URL(control).host) complaints.push(`asked ${host}`);
  });
  await page.goto(control);
  await page.waitForSelector("#pulse[data-state=live]");
  return page;
}

/** Goes to a page, and waits until it shows what is at `ready`. */
export async function visit(page, hash, ready) {
  await page.evaluate((hash) => {
    location.hash = hash;
  }, hash);
  await page.waitForSelector(`#main ${ready}`, { state: "attached" });
}

/** A client, with all that it receives. */
export function client(url) {
  const socket = new WebSocket(url.replace(/^http/, "ws"));
  socket.received = [];
  socket.on("message", (data) => socket.received.push(data.toString()));
  return new Promise((resolve, reject) => {
    socket.once("open", () => resolve(socket));
    socket.once("error", reject);
  });
}
