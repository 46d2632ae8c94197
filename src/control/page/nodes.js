// The nodes, and all that one node tells of itself.

import { get, path, post } from "./api.js";
import { shares, sparkline } from "./chart.js";
import { fill, h, say } from "./dom.js";
import { duration, number, plural, rate, roundTrip, short, transport, transports, words } from "./format.js";
import { ledger } from "./ledger.js";
import { live, watch } from "./live.js";
import { linkTable } from "./overview.js";
import { act, badge, facts, figure, head, link, panel, poll, showOnce, table } from "./parts.js";

/** Every node of which something is known, those that are gone last. */
function everyNode() {
  const rows = [...(live.cluster?.nodes ?? [])].sort((a, b) => (String(a.address) < String(b.address) ? -1 : 1));
  return [...rows, ...live.gone.values()];
}

function stateOf(node) {
  if (node.goneAt !== undefined) return "gone";
  return node.answered === false ? "silent" : (node.state ?? "active");
}

export function nodes({ signal }) {
  const list = table("Nodes of the cluster", [
    { name: "Node", text: (node) => `${node.id}${node.self}`, draw: (node) => [link("nodes", node.id, short(node.id), { class: "mono strong", title: node.id }), node.self ? h("span", { class: "tag" }, "this one") : null] },
    { name: "State", text: stateOf, draw: (node) => badge(stateOf(node)) },
    { name: "Address", text: (node) => node.address, kind: "mono" },
    { name: "Sessions", text: (node) => number(node.sessions), kind: "num" },
    { name: "Delivers", text: (node) => `${rate(live.rates.get(node.id)?.delivered ?? 0)}/s`, kind: "num" },
    { name: "Publishes", text: (node) => `${rate(live.rates.get(node.id)?.published ?? 0)}/s`, kind: "num", hideable: true },
    { name: "Round trip", text: (node) => roundTrip(roundTripOf(node)), kind: "num", hideable: true },
    { name: "Role", text: (node) => [node.role, ...Object.entries(node.tags ?? {}).map(([name, value]) => `${name}=${value}`)].filter(Boolean).join(", ") || "\u2013", hideable: true },
    { name: "Version", text: (node) => node.version ?? "\u2013", kind: "mono", hideable: true },
    { name: "Up", text: (node) => (node.goneAt === undefined ? duration(node.uptime_ms - (node.uptime_ms % 1000)) : "\u2013"), kind: "num" },
  ], (node) => node.id, { state: stateOf, cards: true });
  const it = panel("All nodes", {}, list.element);
  const note = h("p", { class: "soft" });
  const update = () => {
    if (live.cluster === null) return;
    list.update(everyNode());
    const silent = live.cluster.unanswered ?? [];
    it.notice(silent.length === 0 ? null : `No answer from ${silent.map(short).join(", ")}.`, "warn");
    say(note, plural(live.cluster.nodes.length, "node"));
  };
  watch(signal, update);
  update();
  return { title: "Nodes", element: h("div", {}, head("Nodes", { note }), it.element) };
}

/** The slowest way to a node, in microseconds. */
function roundTripOf(node) {
  const trips = (live.cluster?.links ?? []).filter((it) => it.to === node.id || it.from === node.id).map((it) => it.rtt_us).filter(Number.isFinite);
  return trips.length === 0 ? undefined : Math.max(...trips);
}

export function node({ signal, id }) {
  const line = sparkline();
  const figures = {
    state: figure("State", { kind: "nodes" }),
    sessions: figure("Sessions"),
    delivered: figure("Delivered a second", { line: line.element }),
    published: figure("Published a second"),
    up: figure("Up"),
  };
  const gone = h("p", { class: "notice bad", hidden: true });
  const tools = h("div", { class: "row" });
  const by = shares("Connections by transport");
  const links = linkTable();
  const rates = [];
  const panels = reportPanels();
  const seen = { drawn: null };

  const update = () => {
    const it = everyNode().find((other) => other.id === id);
    if (it === undefined) return;
    const state = stateOf(it);
    gone.hidden = state !== "gone";
    say(gone, "This node is gone. What is shown is what it last said.");
    figures.state.update(words(state), it.self ? "serves this page" : (it.address ?? ""), { active: "good", gone: "bad", silent: "bad" }[state] ?? "warn");
    figures.sessions.update(number(it.sessions), it.role ?? "");
    const delivered = live.rates.get(id)?.delivered ?? 0;
    figures.delivered.update(rate(delivered), `${number(it.totals?.delivered)} in all`);
    figures.published.update(rate(live.rates.get(id)?.published ?? 0), `${number(it.totals?.published)} in all`);
    figures.up.update(duration(it.uptime_ms - (it.uptime_ms % 1000)), it.version ? `version ${it.version}` : "");
    rates.push(delivered);
    if (rates.length > 90) rates.shift();
    line.update(rates);
    by.update(transports.map((name) => ({ name: transport(name), tint: name, value: it.connections?.[name] ?? 0 })), number);
    links.update((live.cluster?.links ?? []).filter((way) => way.from === id || way.to === id));
    if (seen.drawn !== state) {
      seen.drawn = state;
      fill(tools, state === "active" || state === "standby" ? drain(id) : null);
    }
  };
  watch(signal, (what) => what === "cluster" && update());
  const all = panel("Links", {}, links.element);
  poll(signal, panels.problem, (own) => get(path("nodes", id), own), panels.update, 3_000);
  update();
  const element = h("div", {},
    head(`Node ${short(id)}`, { note: h("p", { class: "soft mono" }, id), tools }), gone,
    h("div", { class: "figures" }, Object.values(figures).map((it) => it.element)),
    panel("Connections by transport", {}, by.element).element, all.element, panels.element);
  return { title: `Node ${short(id)}`, element };
}

function drain(id) {
  return act("Drain", "admin", () => post(path("nodes", id, "drain")), {
    class: "danger quiet",
    done: `Node ${short(id)} drains`,
    confirm: {
      title: `Drain node ${short(id)}?`,
      says: ["It takes no new clients, sends those that it has to other nodes, hands over what the others lack, and then leaves.", "Sessions go on elsewhere. This cannot be stopped: to have the node back, its process is started again."],
      action: "Drain this node",
      done: `Node ${short(id)} drains`,
    },
  });
}

/** What a member says that is shown above. */
const OWN = ["self", "answered", "sessions", "uptime_ms", "connections", "totals", "state"];

/** What a node reports, part by part, as far as it does. */
function reportPanels() {
  const parts = [
    ["Server", "server"], ["Journal", "journal"], ["Memory and log", "usage"], ["Limits", "limits"], ["Security", "security"],
    ["Store", "store"], ["WebSocket", "websocket"], ["Licence", "license"], ["Statistics", "statistics"], ["Configuration", "configuration"], ["What it is", "member"],
  ];
  const routes = table("Routes", [
    { name: "Path", text: (it) => it.template, kind: "mono" },
    { name: "Kind", text: (it) => it.kind ?? "\u2013" },
    { name: "Handler", text: (it) => it.handler ?? "\u2013", kind: "mono" },
  ], (it) => it.template, { empty: "No routes." });
  const filters = table("Filters, in order", [
    { name: "Filter", text: (it) => it.name, kind: "mono" },
    { name: "Topics", text: (it) => it.pattern ?? "\u2013", kind: "mono" },
  ], (it) => it.name, { empty: "No filters." });
  const problem = panel("What it reports", {});
  const books = { published: ledger("What became of the messages that it published"), stored: ledger("What became of all that it stored") };
  const shown = new Map();
  const grid = h("div", { class: "masonry" });
  const update = (report) => {
    routes.update(report.routes ?? []);
    for (const [key, it] of Object.entries(books)) it.update(report[key] ?? {});
    filters.update(report.filters ?? []);
    for (const [title, key] of parts) {
      if (report[key] === undefined || report[key] === null) continue;
      let it = shown.get(key);
      if (it === undefined) {
        it = panel(title, {});
        shown.set(key, it);
        grid.append(it.element);
      }
      showOnce(it.body, report[key], (told) => (typeof told === "object" ? facts(told, OWN) : h("p", {}, String(told))));
    }
    problem.element.hidden = true;
  };
  const element = h("div", {}, problem.element, h("div", { class: "two" }, books.published.element, books.stored.element), h("div", { class: "two" }, panel("Routes and their handlers", {}, routes.element).element, panel("Filters", { note: "In the order in which they run" }, filters.element).element), grid);
  return {
    element,
    update,
    problem: { notice: (text) => { if (text !== null) problem.element.hidden = false; problem.notice(text); } },
  };
}
