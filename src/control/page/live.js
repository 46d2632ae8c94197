// What is known of the cluster, kept up to date: by asking each second, and at once when something
// happens. Pages read it, and are told when it changes.

import { follow, get, path, Problem } from "./api.js";

const EVERY_MS = 1_000;
const HIDDEN_EVERY_MS = 5_000;
const SAMPLES_KEPT = 900;
const EVENTS_KEPT = 300;
const GHOST_MS = 60_000;
/** How much the newest figure counts in a rate that is shown. */
const SMOOTH = 0.4;

const listeners = new Set();
let stop = null;
let heard = 0;
let wake = () => {};

export const live = {
  /** What the node last said of the cluster, and when we heard it. */
  cluster: null,
  heardAt: 0,
  /** `connecting`, `live` or `lost`, and since when. */
  state: "connecting",
  since: Date.now(),
  /** Why the node does not answer as it should, if so. */
  problem: null,
  /** Whether events come: `null` where the node has no stream of them. */
  streams: false,
  /** The newest first. */
  events: [],
  /** Figures over time, the oldest first. */
  samples: [],
  /** Rates of now, of each node and link, by id. */
  rates: new Map(),
  /** Nodes that were there a moment ago, by id. */
  gone: new Map(),
  who: { role: "read", node: null, version: "" },
};

/** Has `listen` told of changes ("cluster", "event" or "state") until `signal` is aborted. */
export function watch(signal, listen) {
  listeners.add(listen);
  signal.addEventListener("abort", () => listeners.delete(listen));
}

export function may(role) {
  const order = ["read", "operate", "admin"];
  return order.indexOf(live.who.role) >= order.indexOf(role);
}

/** Asks again at once, after something was done. */
export function refresh() {
  wake();
}

export function begin() {
  end();
  const controller = new AbortController();
  stop = () => controller.abort();
  poll(controller.signal);
  stream(controller.signal);
}

export function end() {
  stop?.();
  stop = null;
}

function tell(what, detail) {
  for (const listen of [...listeners]) listen(what, detail);
}

function enter(state, problem = null) {
  live.problem = problem;
  if (live.state === state) return;
  live.state = state;
  live.since = Date.now();
  tell("state");
}

async function poll(signal) {
  while (!signal.aborted) {
    try {
      const cluster = await get(path("cluster"), signal);
      if (signal.aborted) return;
      take(cluster);
      enter("live");
      tell("cluster");
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof Problem)) throw error;
      enter("lost", error);
      tell("state");
    }
    await pause(document.hidden ? HIDDEN_EVERY_MS : EVERY_MS, signal);
  }
}

/** Waits so long, or until there is a reason to go on. */
function pause(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    wake = () => {
      clearTimeout(timer);
      resolve();
    };
    signal.addEventListener("abort", wake, { once: true });
  });
}

async function stream(signal) {
  let last = null;
  let wait = 500;
  while (!signal.aborted) {
    let missing = false;
    try {
      const opened = () => {
        live.streams = true;
        wait = 500;
        tell("state");
      };
      await follow(path("events"), last, signal, opened, (event, id) => {
        last = id ?? last;
        happened(event);
      });
    } catch (error) {
      if (signal.aborted) return;
      missing = error instanceof Problem && error.isAbsent;
    }
    live.streams = missing ? null : false;
    tell("state");
    await new Promise((resolve) => setTimeout(resolve, missing ? 15_000 : wait * (0.75 + Math.random() / 2)));
    wait = Math.min(wait * 2, 4_000);
  }
}

function happened(event) {
  heard += 1;
  live.events.unshift({ ...event, heard });
  live.events.length = Math.min(live.events.length, EVENTS_KEPT);
  tell("event", event);
  if (/^(node|license)\./.test(event.type ?? "")) wake();
}

function take(cluster) {
  const now = Date.now();
  cluster.nodes ??= [];
  cluster.links ??= [];
  cluster.unanswered ??= [];
  const before = live.cluster;
  noteGone(before, cluster, now);
  if (before !== null) measure(before, cluster, (now - live.heardAt) / 1000);
  live.cluster = cluster;
  live.heardAt = now;
  const tally = cluster.accounting ?? {};
  live.samples.push({
    at: now,
    ...live.rates.get("cluster"),
    sessions: cluster.sessions ?? sum(cluster.nodes, (node) => node.sessions ?? 0),
    pending: tally.pending ?? 0,
    unaccounted: tally.unaccounted ?? 0,
    roundTrip: Math.max(0, ...cluster.links.map((link) => link.rtt_us ?? 0)) / 1000,
    lag: sum(cluster.links, (link) => link.lag ?? 0),
    transports: connections(cluster),
  });
  if (live.samples.length > SAMPLES_KEPT) live.samples.shift();
}

function noteGone(before, cluster, now) {
  const there = new Set(cluster.nodes.map((node) => node.id));
  for (const node of before?.nodes ?? []) {
    if (!there.has(node.id)) live.gone.set(node.id, { ...node, goneAt: now });
  }
  for (const [id, node] of live.gone) {
    if (there.has(id) || now - node.goneAt > GHOST_MS) live.gone.delete(id);
  }
}

/** Rates, from how much more there is of each than before. */
function measure(before, cluster, seconds) {
  // What no node counts is not told as none.
  const all = {};
  const grown = (now, then) => (Number.isFinite(now - then) && now >= then ? (now - then) / seconds : 0);
  for (const node of cluster.nodes) {
    const then = before.nodes.find((other) => other.id === node.id);
    if (then?.totals === undefined || node.totals === undefined || node.totals === null) continue;
    const fresh = {};
    for (const what of ["published", "delivered", "received"]) {
      fresh[what] = grown(node.totals[what], then.totals?.[what]);
      all[what] = (all[what] ?? 0) + fresh[what];
    }
    live.rates.set(node.id, smoothed(live.rates.get(node.id), fresh));
  }
  all.published ??= grown(cluster.accounting?.accepted, before.accounting?.accepted);
  live.rates.set("cluster", smoothed(live.rates.get("cluster"), all));
  const links = new Map(before.links.map((link) => [linkKey(link), link]));
  for (const link of cluster.links) {
    const then = links.get(linkKey(link));
    if (then === undefined) continue;
    const fresh = { sent: grown(link.sent_bytes, then.sent_bytes), received: grown(link.received_bytes, then.received_bytes) };
    live.rates.set(linkKey(link), smoothed(live.rates.get(linkKey(link)), fresh));
  }
}

function smoothed(before, fresh) {
  if (before === undefined) return fresh;
  return Object.fromEntries(Object.entries(fresh).map(([name, value]) => {
    const next = (before[name] ?? value) + SMOOTH * (value - (before[name] ?? value));
    return [name, next < 0.05 ? 0 : next];
  }));
}

export function linkKey(link) {
  return `${link.from} ${link.to}`;
}

/** How many are connected, by transport. */
export function connections(cluster) {
  const all = {};
  for (const node of cluster?.nodes ?? []) {
    for (const [transport, count] of Object.entries(node.connections ?? {})) all[transport] = (all[transport] ?? 0) + count;
  }
  return all;
}

export function sum(items, of) {
  return items.reduce((total, item) => total + of(item), 0);
}
