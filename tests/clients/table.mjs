// The table of what every stock client can do over every transport, with and without framing and the
// protocol: each cell of it is a scenario that passed, does not apply, or failed. Prints it, and says
// why where it is not plain.
//
// TABLE is a regular expression for the names of cells and scenarios, such as `5.0.45 +sse .*cut`. With
// LONG=1, clients are also idle for longer than any limit.

import { readArguments } from "./clients.mjs";
import { cells } from "./table/cell.mjs";
import { between, binary, heartbeats, open, order, payloads } from "./table/flow.mjs";
import { ancient, jsonp, preflight } from "./table/once.mjs";
import { cut, fallback, idle, move, newest, offline, pair, unload } from "./table/returns.mjs";
import { NotApplicable } from "./table/subject.mjs";

const { alone: urls } = readArguments("table.mjs URL_A URL_B", 2);
const WANTED = new RegExp(process.env.TABLE ?? "");
/** How many scenarios run at a time, but for those that wait for a clock: their clients do nothing. */
const AT_ONCE = 16;
const PATIENCE_MS = 60_000;

const WAITING = { heartbeats, ...(process.env.LONG ? { idle } : {}) };
const SCENARIOS = { open, order, payloads, binary, cut, pair, move, between, newest, fallback, unload, offline, ...WAITING };
const ONCE = { ancient, preflight, jsonp };

// A client that throws does so into the void; what it should have told is then missing.
const strays = [];
for (const kind of ["uncaughtException", "unhandledRejection"]) {
  process.on(kind, (error) => strays.push(error?.stack ?? String(error)));
}
console.error = console.warn = console.log;
const print = process.stdout.write.bind(process.stdout);
console.log = () => {};

const notes = [];
const table = cells(urls);
const results = new Map(table.map((cell) => [cell, {}]));
const failures = [];
const began = performance.now();

await Promise.all([waiting(), flowing(), once()]);
report();
process.exit(failures.length > 0 ? 1 : 0);

async function waiting() {
  const all = table.flatMap((cell) => Object.keys(WAITING).map((name) => [cell, name]));
  await Promise.all(all.map(([cell, name]) => run(cell, name)));
}

async function flowing() {
  const left = table.flatMap((cell) => Object.keys(SCENARIOS).filter((name) => !(name in WAITING)).map((name) => [cell, name]));
  const worker = async () => {
    while (left.length > 0) await run(...left.shift());
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

async function run(cell, name) {
  if (!WANTED.test(`${cell.name} ${name}`)) return;
  results.get(cell)[name] = await outcome(`${cell.name} ${name}`, () => SCENARIOS[name](cell));
}

async function once() {
  for (const [name, scenario] of Object.entries(ONCE)) {
    if (WANTED.test(name)) print(`${name}: ${await outcome(name, () => scenario(urls))}\n`);
  }
}

async function outcome(name, scenario) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error("it took too long")), name.endsWith("idle") ? 4 * PATIENCE_MS : PATIENCE_MS);
  });
  try {
    const note = await Promise.race([scenario(), late]);
    return note ? `ok ${footnote(note)}` : "ok";
  } catch (error) {
    if (error instanceof NotApplicable) return `-${footnote(error.message)}`;
    failures.push(`${name}: ${error.message}`);
    print(`FAILED ${failures.at(-1)}\n`);
    return "FAIL";
  } finally {
    clearTimeout(timer);
  }
}

function footnote(text) {
  if (!notes.includes(text)) notes.push(text);
  return notes.indexOf(text) + 1;
}

function report() {
  const names = Object.keys(SCENARIOS);
  const widths = names.map((name) => Math.max(name.length, 5));
  const line = (head, fields) => print(`${head.padEnd(27)} ${fields.map((field, at) => field.padEnd(widths[at])).join(" ")}\n`);
  line("client transport   len proto", names);
  for (const [cell, result] of results) {
    if (Object.keys(result).length > 0) line(cell.name, names.map((name) => result[name] ?? ""));
  }
  notes.forEach((note, at) => print(`${at + 1}: ${note}\n`));
  strays.slice(0, 20).forEach((stray) => print(`thrown by a client: ${stray}\n`));

  print(`${failures.length} failed, in ${((performance.now() - began) / 1000).toFixed(0)} s\n`);
}
