// What operators change, from the console's pages, on a cluster of three nodes; what comes of it is seen by
// clients of the other nodes.

import { WebSocket } from "ws";
import { check, readArguments, run, until } from "./clients.mjs";
import { client, launch, openConsole, PATIENCE, visit } from "./console-page.mjs";

const { alone, named } = readArguments(
  "steering.mjs URL_B URL_C CONTROL_A NODE_C [--chromium /usr/bin/chromium] [--seconds 120]",
  4,
);
const [urlB, urlC, control, nodeC] = alone;
const ROOM = "/chat/steering";

await run(Number(named.seconds ?? 120) * 1000, async () => {
  const browser = await launch(named.chromium);
  try {
    return await drive(browser);
  } finally {
    await browser.close();
  }
});

async function drive(browser) {
  const [complaints, steps] = [[], []];
  const page = await openConsole(browser, control, complaints, { viewport: { width: 1440, height: 900 } });
  const step = async (name, work) => {
    await work().catch((error) => {
      throw new Error(`${name}: ${error.message.split("\n")[0]}; at ${page.url()}; console: ${complaints.slice(0, 5)}`);
    });
    steps.push(name);
  };
  const agree = async (done) => {
    await page.click("dialog.confirm button.danger");
    await page.waitForSelector(`.toast.good:has-text("${done}")`);
    await page.waitForSelector("dialog", { state: "detached" });
  };
  const submit = (form) => page.click(`form[aria-label="${form}"] button[type=submit]`);
  const publish = async (text) => {
    await page.fill("textarea[name=message]", text);
    await submit("Publish");
    await page.waitForSelector(`.payload:text-is("${text}")`);
  };

  const socket = await client(`${urlB}${ROOM}`);
  /** What comes of something that the client says, once nothing else does: nodes are told one after the other. */
  const comes = async (expected) => {
    socket.send("hello");
    await until(() => socket.received.length > 0, PATIENCE, () => "the client got nothing");
    const [got] = socket.received.splice(0);
    check(got === expected, `the client got ${got} instead of ${expected}`);
  };

  await step("filters are ordered and removed", async () => {
    await comes("hello?!");
    await visit(page, "#/configuration", 'button[aria-label="Move exclaim up"]');
    await page.click('button[aria-label="Move exclaim up"]');
    await page.waitForSelector('.toast.good:has-text("exclaim moved")');
    await page.waitForSelector('button[aria-label="Move ask up"]');
    await comes("hello!?");
    await page.click('button[aria-label="Remove ask"]');
    await agree("ask was removed");
    await comes("hello!");
    await page.click('button[aria-label="Remove exclaim"]');
    await agree("exclaim was removed");
    await comes("hello");
  });

  await step("a handler is replaced while its client stays", async () => {
    const form = "Handler of /chat/{room}";
    await page.selectOption(`form[aria-label="${form}"] select`, "shout");
    await submit(form);
    await agree("/chat/{room} is served by shout");
    await comes("HELLO");
    check(socket.readyState === WebSocket.OPEN, "the client is gone");
  });

  await step("limits, heartbeat, log level and statistics are set, and configuration is loaded again", async () => {
    await page.fill('form[aria-label="Limits"] input[name=topic_messages]', "50");
    await submit("Limits");
    await page.waitForSelector('dialog.confirm li:has-text("to 50")');
    await agree("Limits were changed");
    const refused = { nodes: [{ id: nodeC, ok: false, error: "it does not answer" }] };
    await page.route("**/api/v1/limits*", (route) => route.fulfill({ json: refused }), { times: 1 });
    await page.fill('form[aria-label="Limits"] input[name=topic_messages]', "40");
    await submit("Limits");
    await page.click("dialog.confirm button.danger");
    await page.waitForSelector('form[aria-label="Limits"] .outcome.bad:has-text("it does not answer")');
    await page.fill('form[aria-label="Heartbeat"] input[name=ms]', "7000");
    await submit("Heartbeat");
    await page.waitForFunction(() => document.querySelector('form[aria-label="Heartbeat"] input').value === "7000");
    check((await page.inputValue('form[aria-label="Log level"] input')) === "info", "the filter in force is not shown");
    await page.fill('form[aria-label="Log level"] input', "loud");
    await submit("Log level");
    await page.waitForSelector('form[aria-label="Log level"] .outcome.bad:has-text("no such filter")');
    // Chromium itself writes to the console that a request was refused.
    check(complaints.splice(0).every((it) => it.includes("log-level")), "something else was refused");
    await page.fill('form[aria-label="Log level"] input', "debug");
    await submit("Log level");
    await page.waitForSelector('dd:text-is("debug")');
    await page.click('button:text-is("Switch off")');
    await agree("Statistics are off");
    await page.waitForSelector('button:text-is("Switch on")');
    await page.click('button:text-is("Reload")');
    await agree("Reloaded");
  });

  await step("a message that is withdrawn never comes", async () => {
    await visit(page, `#/topics/${encodeURIComponent(ROOM)}`, "textarea[name=message]");
    const kept = { "X-Atmosphere-Transport": "long-polling" };
    const poll = async () => {
      for (const end = performance.now() + PATIENCE; performance.now() < end;) {
        const answer = await fetch(`${urlC}${ROOM}`, { headers: kept });
        for (const [name, as] of [["X-Atmosphere-tracking-id", "X-Atmosphere-tracking-id"], ["ETag", "If-None-Match"]]) {
          const value = answer.headers.get(name);
          if (value !== null) kept[as] = value;
        }
        const text = await answer.text();
        if (text.trim() !== "") return text;
      }
      throw new Error("nothing comes to who polls");
    };
    const first = poll();
    await page.waitForFunction(() => document.querySelector(".figures .figure-value").textContent === "2");
    await publish("first");
    check((await first).includes("first"), "who polls got something else");
    await publish("wrong");
    await page.waitForSelector('tr:has-text("wrong") [data-name=Waiting]:text-is("1")');
    check(/^\d\d:\d\d:\d\d$/.test(await page.textContent('tr:has-text("wrong") [data-name=Stored]')), "it is not said when it was stored");
    await page.click('tr:has-text("wrong") button[aria-label^=Withdraw]');
    await agree("The message was withdrawn");
    await publish("right");
    const got = await poll();
    check(got.includes("right") && !got.includes("wrong"), `who polls got ${got}`);
    await until(() => socket.received.length >= 3, PATIENCE, () => `the other client got ${socket.received}`);
  });

  await step("a session is told something of its own, in a topic that it cannot leave", async () => {
    await visit(page, `#/sessions?topic=${encodeURIComponent(ROOM)}&state=attached`, "tbody tr");
    await page.click("tbody tr a[href^='#/sessions/']");
    await page.fill('form[aria-label="Send"] textarea', "for you alone");
    await submit("Send");
    await until(() => socket.received.includes("for you alone"), PATIENCE, () => `the client got ${socket.received}`);
    await page.waitForSelector('tr:has-text("~")');
    const [own, all] = await Promise.all(['[aria-label^="Remove from ~"]', '[aria-label^="Remove from"]'].map((which) => page.locator(which).count()));
    check(own === 0 && all >= 1, `${own} of ${all} buttons are for its own topic`);
  });

  await step("a node is drained, and its client is sent elsewhere", async () => {
    const leaving = await client(`${urlC}${ROOM}`);
    const closed = new Promise((resolve) => leaving.once("close", resolve));
    await visit(page, `#/nodes/${nodeC}`, 'button:text-is("Drain")');
    await page.click('button:text-is("Drain")');
    await agree("drains");
    await visit(page, "#/overview", ".planet-node");
    check((await closed) === 1001, `it was closed with ${await closed}`);
    await page.waitForFunction(() => document.querySelectorAll(".planet-node[data-state=active]").length === 2);
  });

  // The page may have asked for the node as it went, which Chromium writes to the console.
  const others = complaints.filter((it) => !it.endsWith(`/nodes/${nodeC}`));
  complaints.splice(0, complaints.length, ...others);
  const violations = await page.evaluate(() => window.violations);
  check(complaints.length === 0 && violations.length === 0, `the browser says: ${[...complaints, ...violations].slice(0, 5).join("; ")}`);
  socket.close();
  return { steps };
}
