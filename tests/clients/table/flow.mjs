// What flows while nothing goes wrong.

import { check, until } from "../clients.mjs";
import { NotApplicable, Subject } from "./subject.mjs";

export const NO_ID = "without the protocol the client learns no id: each of its polls is a session of its own";

/** Below the limit of 1 MiB, with nothing in it that a client would trim where chunks end. */
const LARGE = "0123456789abcde|".repeat(64 * 1024 - 1);

const PAYLOADS = [
  "plain",
  "|",
  "a|X",
  "|X",
  "1|X",
  "5|hello",
  "41|00000000-0000-4000-8000-000000000000|0|X|",
  "\u{1F600}\u00e9|\u{1F469}\u200d\u{1F4BB}",
  "two\nlines\n\nand a gap",
  "CR\r\nLF\r\n\r\ndata:forged\rend",
  "   leading spaces",
  "trailing spaces   ",
  "\n  \n both \t",
  "",
  "   ",
  '{"author":"a|b","message":"\\u007c","time":1}',
  "@@/elsewhere@@body",
  "\u2028\ufeff.",
  LARGE,
];

/** Opens once, with the id that the server named. */
export async function open(cell) {
  const subject = await Subject.open(cell, "open");
  try {
    const { door, room } = subject;
    check(door.asked[0] === "0", `the first request had the id ${door.asked[0]}`);
    check(door.named.length === (cell.protocol ? 1 : 0), `the client was named ${door.named}`);
    await echo(subject, "hello");
    await subject.has(["hello"]);
    if (cell.polls && cell.hasId) check(new Set(door.asked.slice(1)).size === 1 && door.asked[1] === door.named[0], `named ${door.named}, it asked with ${door.asked}`);
    check(cell.polls && !cell.hasId || room.heard("ready") === 1, `told: ${room.told.received}`);
    subject.quiet();
    return cell.opensTwice ? "without the protocol the client says again that it is open, with the first message" : "";
  } finally {
    subject.close();
  }
}

/** Has the client say something, where it can say anything already. */
async function echo(subject, text) {
  const { cell, room } = subject;
  if (cell.generation === 5 && cell.polls && !cell.hasId) return room.publishes(text);
  subject.push(text);
  await until(() => room.published.includes(text), 15_000, () => `the room has ${text}`);
}

/** Whatever can be in a text, both ways. */
export async function payloads(cell) {
  if (cell.polls && !cell.hasId) throw new NotApplicable(NO_ID);
  const subject = await Subject.open(cell, "payloads");
  try {
    for (const text of PAYLOADS) await payload(subject, text);
    subject.quiet();
  } finally {
    subject.close();
  }
}

async function payload(subject, text) {
  const { room } = subject;
  const [before, from] = [room.published.length, subject.received.length];
  subject.push(text);
  await until(() => room.published.length > before, 15_000, () => `the room has ${JSON.stringify(text.slice(0, 40))}`);
  check(room.published[before] === text, `sent ${JSON.stringify(text.slice(0, 40))}, and the room has ${JSON.stringify(room.published[before].slice(0, 40))}`);
  await subject.has([text], from);
  await subject.ends([text], from);
}

/** Many at once: in order, none lost, none twice. */
export async function order(cell) {
  if (cell.polls && !cell.hasId) throw new NotApplicable(NO_ID);
  const subject = await Subject.open(cell, "order");
  try {
    const count = cell.polls && !cell.framing ? 200 : 1000;
    const texts = Array.from({ length: count }, (_, n) => `message ${n}|;`);
    await subject.room.publishes(...texts);
    await subject.has(texts);
    await subject.ends(texts);
    subject.quiet();
    return count === 1000 ? "" : `${count} messages, as each takes a poll`;
  } finally {
    subject.close();
  }
}

/** Messages between two polls. */
export async function between(cell) {
  if (!cell.polls) throw new NotApplicable("only long polls end");
  if (!cell.hasId) throw new NotApplicable(NO_ID);
  const subject = await Subject.open(cell, "between");
  try {
    const { door, room } = subject;
    door.hold();
    room.publish("first");
    await until(() => door.held > 0, 15_000, "the client polls again");
    const texts = Array.from({ length: 100 }, (_, n) => `message ${n}|;`);
    await room.publishes(...texts);
    door.release();
    await subject.has(["first", ...texts]);
    await subject.ends(["first", ...texts]);
    subject.quiet();
  } finally {
    subject.close();
  }
}

/** Bytes both ways. */
export async function binary(cell) {
  const subject = await Subject.open(cell, "binary");
  const bytes = Uint8Array.from([0, 1, 2, 0x7c, 0x58, 0xff, 0x80]);
  try {
    const { room } = subject;
    if (cell.transport !== "websocket") {
      // What is made of text has bytes as base64.
      room.publish(bytes);
      await subject.has([Buffer.from(bytes).toString("base64")]);
      return "as base64";
    }
    room.publish(bytes);
    await until(() => subject.received.length > 0, 15_000, "the client has the bytes");
    check(Buffer.from(subject.received[0]).equals(bytes), `the client has ${subject.received[0]}`);
    subject.push(bytes.buffer);
    await until(() => subject.received.length > 1, 15_000, "the client has its own bytes");
    check(Buffer.from(subject.received[1]).equals(bytes), `the client has ${subject.received[1]}`);
    await until(() => room.publisher.bytes.length > 1, 15_000, "the room has bytes");
    check(room.publisher.bytes[1].equals(bytes), `the room has ${room.publisher.bytes[1]}`);
    subject.quiet();
  } finally {
    subject.close();
  }
}

/** Nothing to say for longer than a heartbeat takes: nobody is told of that. */
export async function heartbeats(cell) {
  if (!cell.protocol && !cell.polls) throw new NotApplicable("without the protocol no heartbeat is a message");
  const subject = await Subject.open(cell, "heartbeats");
  try {
    const { door, room } = subject;
    const beat = cell.framing ? "1|X" : "X";
    const forms = { websocket: `\x81${String.fromCharCode(beat.length)}${beat}`, sse: `data:${beat}\r\n\r\n` };
    const form = forms[cell.transport] ?? `\r\n${beat}\r\n`;
    if (cell.beats) await room.hears("heartbeat");
    await until(() => door.heard.includes(form), 45_000, () => `the server sends a heartbeat; events ${subject.events}`);
    if (cell.polls) await door.asks(cell.hasId ? 3 : 2);
    if (cell.polls && !cell.hasId) await room.hears("ready", 2);
    // Where the client glues, a heartbeat may come in one with what follows it.
    if (cell.glues) await subject.follows("the end", "X");
    else await subject.ends([]);
    check(room.published.length === 1, `the room has ${room.published}`);
    subject.quiet();
    return cell.beats ? "" : "from the server only: the client sends none without the protocol, nor does 5.0.45 by long polling";
  } finally {
    subject.close();
  }
}
