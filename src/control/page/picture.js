// The cluster as a picture that lives: nodes as planets on a ring, around each what its clients are
// connected by, and between them what their links carry. What it shows is told in words as well.

import { h, keep, mark, s, say } from "./dom.js";
import { ago, bytes, plural, rate, roundTrip, short, transport, transports } from "./format.js";
import { linkKey, live, sum } from "./live.js";
import { Motes } from "./motes.js";
import { fresh } from "./parts.js";

/** So far behind a link is slow, and so far it is bad, in operations; a few are always on their way. */
const LAG = { warm: 10, hot: 1_000 };
/** Links are labelled where there is room for it. */
const LABELLED_NODES = 5;
/** So many nodes have their names below, more have them outwards, and even more only while one points at them. */
const CALM_NODES = 6;
const NAMED_NODES = 16;

const stillness = matchMedia("(prefers-reduced-motion: reduce)");

export function picture(signal) {
  const ids = { glow: fresh("glow"), title: fresh("picture") };
  const orbit = s("ellipse", { class: "orbit" });
  const layers = Object.fromEntries(["links", "motes", "nodes", "labels"].map((name) => [name, s("g", { class: `layer-${name}` })]));
  const svg = s("svg", { class: "picture", role: "group", "aria-labelledby": ids.title },
    s("defs", {}, gradient(ids.glow)), orbit, layers.links, layers.motes, layers.nodes, layers.labels);
  const words = h("ul", { class: "picture-words" });
  const summary = h("p", { class: "hidden", id: ids.title });
  const element = h("figure", { class: "picture-figure" }, summary, svg, legend(), h("details", {}, h("summary", {}, "The picture in words"), words));
  const state = { svg, orbit, layers, ids, box: { width: 800, height: 430 }, nodes: new Map(), links: [], motes: new Motes(layers.motes) };

  new ResizeObserver(([entry]) => {
    state.box.width = Math.max(280, entry.contentRect.width);
    update();
  }).observe(element);

  const update = () => {
    if (live.cluster === null) return;
    const crowded = live.cluster.nodes.length > CALM_NODES;
    state.box.height = state.box.width < 560 ? 380 : crowded ? 540 : 450;
    mark(svg, "viewBox", `0 0 ${state.box.width} ${state.box.height}`);
    mark(svg, "height", state.box.height);
    mark(svg, "data-crowd", live.cluster.nodes.length > NAMED_NODES || (crowded && state.box.width < 560) ? "many" : crowded ? "some" : null);
    arrange(state);
    drawLinks(state);
    drawNodes(state);
    describe(summary, words);
  };
  animate(state, signal);
  return { element, update, ripple: (id, kind) => ripple(state, id, kind) };
}

function gradient(id) {
  return s("radialGradient", { id, cx: "34%", cy: "30%", r: "78%" },
    s("stop", { offset: "0%", class: "glow-day" }), s("stop", { offset: "55%", class: "glow-dusk" }), s("stop", { offset: "100%", class: "glow-night" }));
}

function legend() {
  const one = (tint, name) => h("li", { "data-tint": tint }, h("span", { class: "swatch", "aria-hidden": "true" }), name);
  return h("ul", { class: "legend picture-legend", "aria-label": "Colors of transports" }, transports.map((name) => one(name, transport(name))));
}

/** Where each node is to be. Those that are gone keep their place for a while. */
function arrange(state) {
  const { width, height } = state.box;
  const all = [...live.cluster.nodes, ...live.gone.values()].sort((a, b) => (String(a.address) < String(b.address) ? -1 : 1));
  const narrow = width < 560;
  const crowd = Math.min(1, Math.max(0.42, (narrow ? 4 : 7) / all.length));
  const most = Math.max(1, ...all.map((node) => node.sessions ?? 0));
  // Three stand on two of them: without this there would be room left below.
  const lower = all.length === 3 ? 0.16 : 0;
  const [rx, ry] = [Math.max(60, width / 2 - (all.length > CALM_NODES ? (narrow ? 88 : 150) : narrow ? 62 : 125)), Math.max(60, height / 2 - 78) * (1 + lower)];
  const middle = { x: width / 2, y: height / 2 - 10 + ry * lower };
  mark(state.orbit, "visibility", all.length > 2 ? "visible" : "hidden");
  for (const [name, value] of Object.entries({ cx: middle.x, cy: middle.y, rx, ry })) mark(state.orbit, name, value);
  const there = new Set();
  all.forEach((node, n) => {
    there.add(node.id);
    const turn = (n / all.length) * 2 * Math.PI + (all.length === 2 ? Math.PI : -Math.PI / 2);
    const target = all.length === 1 ? middle : { x: middle.x + rx * Math.cos(turn), y: middle.y + ry * Math.sin(turn) };
    const radius = (16 + 20 * Math.sqrt((node.sessions ?? 0) / most)) * crowd;
    const had = state.nodes.get(node.id);
    state.nodes.set(node.id, { ...had, x: had?.x ?? target.x, y: had?.y ?? target.y, target, radius, node, isGone: node.goneAt !== undefined, outwards: all.length > CALM_NODES ? turn : null });
  });
  for (const id of state.nodes.keys()) if (!there.has(id)) state.nodes.delete(id);
  state.middle = middle;
}

/** One line for the links of two nodes, whichever way. */
function drawLinks(state) {
  const pairs = new Map();
  for (const link of live.cluster.links) {
    if (!state.nodes.has(link.from) || !state.nodes.has(link.to)) continue;
    const key = [link.from, link.to].sort().join(" ");
    const had = pairs.get(key) ?? { key, ends: [link.from, link.to], rtt: 0, lag: 0, sent: {} };
    had.rtt = Math.max(had.rtt, link.rtt_us ?? 0);
    had.lag = Math.max(had.lag, link.lag ?? 0);
    had.sent[link.from] = live.rates.get(linkKey(link))?.sent ?? 0;
    pairs.set(key, had);
  }
  state.links = [...pairs.values()];
  const all = sum(state.links, (link) => sum(Object.values(link.sent), (it) => it));
  keep(state.layers.links, state.links, (link) => link.key, () => s("path", { class: "link" }), (path, link) => {
    link.path = path;
    const bytesEach = sum(Object.values(link.sent), (it) => it);
    mark(path, "data-lag", link.lag >= LAG.hot ? "hot" : link.lag >= LAG.warm ? "warm" : null);
    path.style.setProperty("stroke-width", (1 + Math.min(3, Math.log10(1 + bytesEach / 400))).toFixed(2));
  });
  const labelled = state.nodes.size <= LABELLED_NODES && state.box.width >= 420 && all >= 0 ? state.links : [];
  keep(state.layers.labels, labelled, (link) => link.key, () => s("text", { class: "link-label", "text-anchor": "middle" }), (text, link) => {
    link.label = text;
    mark(text, "data-lag", link.lag >= LAG.hot ? "hot" : link.lag >= LAG.warm ? "warm" : null);
    say(text, link.lag >= LAG.warm ? `${roundTrip(link.rtt)} \u00b7 ${link.lag} behind` : `${roundTrip(link.rtt)} \u00b7 ${bytes(Math.round(sum(Object.values(link.sent), (it) => it)))}/s`);
  });
  place(state);
}

function drawNodes(state) {
  keep(state.layers.nodes, [...state.nodes.values()], ({ node }) => node.id, ({ node }) => makeNode(node, state.ids), (group, it) => {
    it.group = group;
    const { node, radius, isGone } = it;
    const [air, body, name, more] = group.parts;
    mark(group, "data-state", isGone ? "gone" : node.answered === false ? "silent" : (node.state ?? "active"));
    mark(group, "data-self", node.self === true ? true : null);
    mark(body, "r", radius.toFixed(1));
    mark(group.halo, "r", (radius + 11).toFixed(1));
    drawAir(air, isGone ? {} : (node.connections ?? {}), radius + 5.5);
    putNames(it, name, more);
    say(name, node.self === true ? `${short(node.id)} (this one)` : short(node.id));
    const delivered = live.rates.get(node.id)?.delivered;
    const figures = [plural(node.sessions ?? 0, "session"), delivered === undefined ? null : `${rate(delivered)}/s`].filter(Boolean).join(" \u00b7 ");
    say(more, isGone ? `gone ${ago(node.goneAt)}` : node.answered === false ? "does not answer" : node.state !== "active" && node.state ? `${node.state}, ${plural(node.sessions ?? 0, "session")}` : figures);
  });
  place(state);
}

/** Puts what a node is called below it, or outwards where there are many. */
function putNames({ outwards, radius }, name, more) {
  const beside = radius + (outwards === null ? 24 : 18);
  const [right, down] = outwards === null ? [0, 1] : [Math.cos(outwards), Math.sin(outwards)];
  const anchor = Math.abs(right) < 0.3 ? "middle" : right > 0 ? "start" : "end";
  const rise = outwards === null ? 0 : down < -0.5 ? -12 : down > 0.5 ? 8 : -2;
  for (const [text, below] of [[name, 0], [more, outwards === null ? 16 : 14]]) {
    mark(text, "text-anchor", anchor);
    mark(text, "x", (right * beside).toFixed(1));
    mark(text, "y", (down * beside + rise + below).toFixed(1));
  }
}

function makeNode(node, ids) {
  const air = s("g", { class: "air" });
  const body = s("circle", { class: "body", fill: `url(#${ids.glow})` });
  const name = s("text", { class: "node-name", "text-anchor": "middle" });
  const more = s("text", { class: "node-more", "text-anchor": "middle" });
  const halo = s("circle", { class: "halo" });
  const group = s("a", { class: "planet-node", href: `#/nodes/${encodeURIComponent(node.id)}`, "data-node": node.id }, halo, air, body, name, more);
  group.parts = [air, body, name, more];
  group.halo = halo;
  return group;
}

/** What clients are connected by, as arcs around the planet. */
function drawAir(air, connections, radius) {
  const shown = transports.filter((name) => (connections[name] ?? 0) > 0);
  const all = sum(shown, (name) => connections[name]);
  const around = 2 * Math.PI * radius;
  const gap = shown.length > 1 ? Math.min(3, around / shown.length / 3) : 0;
  let at = 0;
  const arcs = shown.length === 0 ? [{ name: "none", from: 0, length: around }] : shown.map((name) => {
    const length = (connections[name] / all) * around;
    const arc = { name, from: at, length };
    at += length;
    return arc;
  });
  keep(air, arcs, (arc) => arc.name, (arc) => s("circle", { "data-tint": arc.name, transform: "rotate(-90)" }), (circle, { from, length }) => {
    mark(circle, "r", radius.toFixed(1));
    mark(circle, "stroke-dasharray", `${Math.max(0.5, length - gap).toFixed(1)} ${around.toFixed(1)}`);
    mark(circle, "stroke-dashoffset", (-from).toFixed(1));
  });
}

/** Puts everything where its nodes are now. */
function place(state) {
  for (const it of state.nodes.values()) {
    if (it.group !== undefined) mark(it.group, "transform", `translate(${it.x.toFixed(1)} ${it.y.toFixed(1)})`);
  }
  for (const link of state.links) {
    const [a, b] = link.ends.map((id) => state.nodes.get(id));
    if (a === undefined || b === undefined || link.path === undefined) continue;
    const bend = state.nodes.size > 3 ? 0.25 : 0;
    link.curve = [a, { x: ((a.x + b.x) / 2) * (1 - bend) + state.middle.x * bend, y: ((a.y + b.y) / 2) * (1 - bend) + state.middle.y * bend }, b];
    const [, c] = link.curve;
    mark(link.path, "d", `M${a.x.toFixed(1)} ${a.y.toFixed(1)}Q${c.x.toFixed(1)} ${c.y.toFixed(1)} ${b.x.toFixed(1)} ${b.y.toFixed(1)}`);
    const middle = along(link.curve, 0.5);
    if (link.label?.isConnected) {
      mark(link.label, "x", middle.x.toFixed(1));
      mark(link.label, "y", (middle.y + 4).toFixed(1));
    }
  }
}

/** Where one is after so much of a curve. */
function along([a, c, b], part) {
  const rest = 1 - part;
  const at = (from, over, to) => rest * rest * from + 2 * rest * part * over + part * part * to;
  return { x: at(a.x, c.x, b.x), y: at(a.y, c.y, b.y) };
}

function animate(state, signal) {
  let last = performance.now();
  const frame = (now) => {
    if (signal.aborted) return;
    requestAnimationFrame(frame);
    const seconds = Math.min(0.1, (now - last) / 1000);
    last = now;
    let moved = false;
    for (const it of state.nodes.values()) {
      const [dx, dy] = [it.target.x - it.x, it.target.y - it.y];
      if (Math.abs(dx) + Math.abs(dy) < 0.3) continue;
      const part = stillness.matches ? 1 : 1 - Math.exp(-6 * seconds);
      it.x += dx * part;
      it.y += dy * part;
      moved = true;
    }
    if (moved) place(state);
    if (stillness.matches || live.state !== "live") state.motes.clear();
    else emit(state, seconds);
    state.motes.step(seconds);
  };
  requestAnimationFrame(frame);
}

/** Sends out motes: along links as much as they carry, and from nodes as much as they deliver. */
function emit(state, seconds) {
  for (const link of state.links) {
    for (const [n, id] of link.ends.entries()) {
      const sent = link.sent[id] ?? 0;
      if (sent < 1 || link.curve === undefined) continue;
      if (Math.random() > seconds * Math.min(3, 0.3 * Math.log10(1 + sent))) continue;
      const curve = link.curve;
      state.motes.add({ kind: "carried", lasts: 1.6, at: (part) => along(curve, n === 0 ? part : 1 - part), radius: 2 });
    }
  }
  for (const it of state.nodes.values()) {
    const delivered = live.rates.get(it.node.id)?.delivered ?? 0;
    if (it.isGone || delivered < 0.1) continue;
    if (Math.random() > seconds * Math.min(7, 1.6 * Math.log10(1 + delivered))) continue;
    const turn = Math.random() * 2 * Math.PI;
    const names = Object.entries(it.node.connections ?? {}).filter(([, count]) => count > 0);
    const tint = chosen(names);
    const near = it.radius + 6;
    state.motes.add({ kind: "delivered", tint, lasts: 1.3, radius: 1.7, at: (part) => ({ x: it.x + Math.cos(turn) * (near + 20 * part), y: it.y + Math.sin(turn) * (near + 20 * part) }) });
  }
}

/** One of them, more often the one that there is more of. */
function chosen(names) {
  let at = Math.random() * sum(names, ([, count]) => count);
  for (const [name, count] of names) {
    at -= count;
    if (at <= 0) return name;
  }
  return "none";
}

function ripple(state, id, kind) {
  const it = state.nodes.get(id);
  if (it === undefined || stillness.matches || document.hidden) return;
  state.motes.add({ kind: `ripple ${kind}`, lasts: 0.9, radius: it.radius + 8, grows: 14, at: () => it });
}

function inWords(node, isGone) {
  const name = `Node ${short(node.id)}${node.self ? ", which serves this page" : ""}`;
  if (isGone) return `${name}: gone ${ago(node.goneAt)}`;
  if (node.answered === false) return `${name}: does not answer`;
  const by = transports.filter((it) => node.connections?.[it] > 0).map((it) => `${node.connections[it]} by ${transport(it)}`);
  return `${name}: ${node.state ?? "active"}, ${plural(node.sessions ?? 0, "session")}${by.length > 0 ? ` (${by.join(", ")})` : ""}, ${rate(live.rates.get(node.id)?.delivered ?? 0)} messages delivered a second`;
}

function describe(summary, words) {
  const { nodes, links } = live.cluster;
  say(summary, `The cluster: ${plural(nodes.length, "node")} and ${plural(links.length, "link")}. Below the picture is the same in words.`);
  const lines = [
    ...[...nodes, ...live.gone.values()].map((node) => ({ key: node.id, text: `${inWords(node, node.goneAt !== undefined)}.` })),
    ...links.map((link) => ({ key: linkKey(link), text: `From ${short(link.from)} to ${short(link.to)}: round trip ${roundTrip(link.rtt_us)}, ${link.lag > 0 ? plural(link.lag, "message") : "nothing"} behind, ${bytes(Math.round(live.rates.get(linkKey(link))?.sent ?? 0))} a second.` })),
  ];
  keep(words, lines, (line) => line.key, () => h("li"), (item, line) => say(item, line.text));
}
