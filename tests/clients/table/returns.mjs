// What happens when a connection is lost, refused, taken over or given up.

import { OfflineQueue } from "atmosphere.js/queue";

import { check, sleep, until, within, WebSocket } from "../clients.mjs";
import { NotApplicable, Subject } from "./subject.mjs";

const NO_ID = "without the protocol the client learns no id to come back with: what it missed is not its own";

const AWAY = ["away 1", "a|b", "3|x|y;", "|X;", "away 5"];
const MORE = ["more|1", "more 2"];

/** Cut off, away while messages are published, and back: twice, the second time at once. */
export async function cut(cell) {
  const subject = await Subject.open(cell, "cut");
  try {
    await pollTwice(subject);
    await leave(subject);
    await subject.room.publishes(...AWAY);
    await comeBack(subject);
    if (!cell.hasId) return await withoutId(subject);
    await subject.has(AWAY);

    await leave(subject);
    await subject.room.publishes(...MORE);
    await comeBack(subject);
    const again = await subject.hasAtLeast([...AWAY, ...MORE], 1);
    await still(subject, 2);
    return again > 0 ? `${again} came again, as the client was cut off before it was certain that it had them` : "";
  } finally {
    subject.close();
  }
}

/** The same with two messages, which come in one chunk where the transport has chunks. */
export async function pair(cell) {
  const subject = await Subject.open(cell, "pair");
  try {
    await pollTwice(subject);
    await leave(subject);
    await subject.room.publishes("a|b", "c");
    await comeBack(subject);
    if (!cell.hasId) return await withoutId(subject);
    await subject.has(["a|b", "c"]);
    await subject.ends(["a|b", "c"]);
    await still(subject, 1);
  } finally {
    subject.close();
  }
}

/** Back on another node. */
export async function move(cell) {
  if (!cell.hasId) throw new NotApplicable(NO_ID);
  const subject = await Subject.open(cell, "move");
  try {
    subject.door.target(cell.urls[1]);
    await leave(subject);
    await subject.room.publishes(...AWAY);
    await comeBack(subject);
    await subject.has(AWAY);
    await subject.ends(AWAY);
    await still(subject, 1);
  } finally {
    subject.close();
  }
}

/** Idle for longer than any limit, cut off, and back within 30 s. */
export async function idle(cell) {
  if (!cell.hasId) throw new NotApplicable(NO_ID);
  const subject = await Subject.open(cell, "idle");
  try {
    await sleep(90_000);
    subject.quiet();
    await leave(subject);
    await sleep(20_000);
    await subject.room.publishes(...AWAY);
    await comeBack(subject);
    await subject.has(AWAY);
    await subject.ends(AWAY);
    await still(subject, 1);
  } finally {
    subject.close();
  }
}

/** 5.0.45 gives up when its first poll is cut off: without the protocol, it is answered only by a message. */
async function pollTwice(subject) {
  if (!subject.cell.polls || subject.cell.hasId) return;
  await subject.room.publishes("before");
  await subject.door.asks(2);
  await subject.has(["before"]);
  await subject.room.hears("ready", 2);
}

/**
 * Cuts the client off, until it notices: it may be about to ask just then. Nothing that it asks from then
 * on comes through until it comes back, as some give up if they are cut off once more.
 */
async function leave(subject) {
  const noticed = new Promise((resolve) => {
    subject.notices = () => {
      subject.door.hold();
      resolve();
    };
  });
  subject.door.cut();
  await within(15_000, "the client notices that it was cut off", noticed);
  subject.notices = () => {};
}

async function comeBack(subject) {
  await until(() => subject.door.held > 0, 15_000, () => `the client comes back; events ${subject.events}`);
  subject.door.release();
}

/** Who has no id is there again all the same, as somebody new. */
async function withoutId(subject) {
  await subject.room.hears("ready", subject.cell.polls ? 3 : 2);
  const from = subject.received.length;
  await subject.ends([], from);
  throw new NotApplicable(NO_ID);
}

/** The client is who it was, and has said so. */
async function still(subject, returns) {
  const { cell, door } = subject;
  check(new Set(door.named).size === 1, `the client was named ${door.named}`);
  check(door.asked.slice(1).every((id) => id === door.named[0]), `the client was named ${door.named[0]} and asked with ${door.asked}`);
  check(subject.room.heard("ready") === 1 && subject.room.heard("disconnect") === 0, `told: ${subject.room.told.received}`);
  check(subject.count("open") === 1, `the events are ${subject.events}`);
  await until(() => subject.count("reopen") === returns, 5000, () => `the client says ${returns} times that it is open again; events ${subject.events}`);
  const rest = subject.events.filter((name) => !/^(open|reopen|reconnect|close|error)\b/.test(name));
  check(rest.length === 0, `the events are ${subject.events}`);
  check(cell.isLegacy === false || door.named.length === 1, `a second handshake: ${door.named}`);
}

/** No WebSocket to be had: the next transport is. */
export async function fallback(cell) {
  if (cell.transport !== "websocket") throw new NotApplicable("only WebSockets are refused");
  for (const transport of ["sse", "streaming", "long-polling"]) {
    if (transport === "long-polling" && !cell.hasId) continue;
    // 2.3.8 falls back for an error, if it may, and then from there to nothing for the close that follows.
    const more = { fallbackTransport: transport, maxWebsocketErrorRetries: cell.generation === 2 ? 0 : 1 };
    const subject = await Subject.open(cell, `fallback-${transport}`, more, (door) => door.refuseUpgrades());
    try {
      subject.push("hello");
      await subject.has(["hello"]);
      await subject.ends(["hello"]);
      // Without the protocol some tell of their opening more than once, and 2.3.8 of the failure.
      check(!cell.protocol || subject.count("open") === 1, `the events are ${subject.events}`);
      check(subject.count("transport-failure") > 0, `the events are ${subject.events}`);
    } finally {
      subject.close();
    }
  }
}

/** The page is left: its session ends, once. */
export async function unload(cell) {
  if (!cell.isLegacy) throw new NotApplicable("5.0.45 does not say that it goes: its session ends 2 min later");
  if (!cell.protocol) throw new NotApplicable("without the protocol the client does not say that it goes");
  const subject = await Subject.open(cell, "unload");
  try {
    subject.client.close();
    await subject.room.hears("disconnect");
    // Whatever else is told of the session is told before this.
    await subject.room.publishes("the end");
    const told = subject.room.told.received.filter((text) => text.startsWith("disconnect"));
    check(told.join() === `disconnect ${subject.door.named[0]} Client`, `told: ${subject.room.told.received}`);
    check(subject.received.length === 0, `received ${subject.received}`);
  } finally {
    subject.close();
  }
}

/** Of two with the same id, the newest is served. */
export async function newest(cell) {
  if (!cell.hasId) throw new NotApplicable("without the protocol the client learns no id that another could have");
  if (cell.polls) throw new NotApplicable("of two that poll with one id, each is the newest in turn");
  const subject = await Subject.open(cell, "newest", { reconnect: false });
  try {
    const { door, room } = subject;
    const query = `X-Atmosphere-tracking-id=${door.named[0]}&X-Atmosphere-Framework=3.1.3-javascript&X-Atmosphere-Transport=websocket&X-atmo-protocol=true`;
    const newer = new WebSocket(`${cell.urls[1]}${room.path}?${query}`.replace(/^http/, "ws"));
    const received = [];
    newer.on("message", (data) => received.push(data.toString()));
    await within(15_000, "the newer client opens", new Promise((resolve) => newer.on("open", resolve)));
    await until(() => subject.events.length > 1, 15_000, () => `the older client ends; events ${subject.events}`);
    await room.publishes("the end");
    await until(() => received.includes("the end"), 15_000, () => `the newer client has the message; it has ${received}`);
    check(subject.received.length === 0, `the older client received ${subject.received}`);
    check(room.heard("disconnect") === 0 && room.heard("ready") === 1, `told: ${room.told.received}`);
    newer.close();
  } finally {
    subject.close();
  }
}

/** What the application said while it was cut off is said later. */
export async function offline(cell) {
  if (cell.isLegacy) throw new NotApplicable("5.0.45 only has a queue for that");
  if (cell.polls && !cell.hasId) throw new NotApplicable("without the protocol the client can say nothing before its first poll is answered");
  const queue = new OfflineQueue({ drainOnReconnect: true });
  const subject = await Subject.open(cell, "offline", { offlineQueue: queue });
  try {
    await leave(subject);
    const said = ["said 1", "said|2", "said 3"];
    said.forEach((text) => subject.push(text));
    check(queue.size === 3, `the queue has ${queue.size}`);
    await comeBack(subject);
    const { room } = subject;
    await until(() => room.published.length >= 3, 15_000, () => `the room has what was said; it has ${room.published}`);
    const isOrdered = cell.transport === "websocket";
    const came = isOrdered ? room.published : [...room.published].sort();
    check(came.join() === (isOrdered ? said : [...said].sort()).join(), `the room has ${room.published}`);
    return isOrdered ? "" : "in any order: each is a request of its own";
  } finally {
    subject.close();
  }
}
