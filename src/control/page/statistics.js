// Figures over time, as long as this page is open, and what nodes have counted since they started.

import { get, path, put } from "./api.js";
import { chart } from "./chart.js";
import { fill, h, mark } from "./dom.js";
import { brief, duration, number, rate, transport, transports, words } from "./format.js";
import { live, watch } from "./live.js";
import { act, facts, head, nodeLink, panel, poll, showOnce } from "./parts.js";

const SPANS = [["1 min", 60], ["5 min", 300], ["15 min", 900]];

export function statistics({ signal }) {
  let span = 300;
  const charts = [
    chart("Messages a second", [
      { name: "Delivered", tint: "websocket", of: (it) => it.delivered ?? 0 },
      { name: "Published", tint: "event_stream", of: (it) => it.published ?? 0 },
      { name: "Received", tint: "long_polling", of: (it) => it.received ?? 0 },
    ], rate),
    chart("Connections by transport", transports.map((name) => ({ name: transport(name), tint: name, of: (it) => it.transports?.[name] ?? 0 })), brief, { stacked: true }),
    chart("Pending messages", [{ name: "Pending", tint: "streaming", of: (it) => it.pending ?? 0 }], brief),
    chart("Slowest link", [{ name: "Round trip, ms", tint: "grpc", of: (it) => it.roundTrip ?? 0 }, { name: "Messages behind", tint: "jsonp", of: (it) => it.lag ?? 0 }], (value) => (value >= 10 ? brief(value) : String(Math.round(value * 100) / 100))),
  ];
  const buttons = SPANS.map(([name, seconds]) => h("button", { type: "button", "aria-pressed": String(seconds === span), on: { click: () => choose(seconds) } }, name));
  const update = () => {
    const from = Date.now() - span * 1000;
    const samples = live.samples.filter((it) => it.at >= from);
    for (const it of charts) it.update(samples);
  };
  const choose = (seconds) => {
    span = seconds;
    buttons.forEach((button, n) => mark(button, "aria-pressed", SPANS[n][1] === span));
    update();
  };
  watch(signal, (what) => what === "cluster" && update());
  update();
  const counted = countedPanel(signal);
  const element = h("div", {},
    head("Statistics", { tools: h("div", { class: "segments", role: "group", "aria-label": "How far back" }, buttons) }),
    h("div", { class: "charts" }, charts.map((it) => h("section", { class: "panel" }, it.element))), counted);
  return { title: "Statistics", element };
}

/** What nodes count while they are told to: by transport, by browser, how connections ended. */
function countedPanel(signal) {
  const it = panel("Counted by the nodes", { note: "Since each started, while statistics are on" });
  const again = poll(signal, it, async (own) => {
    const all = await get(path("nodes"), own);
    return (all.items ?? []).map((node) => ({ id: node.member?.id, statistics: node.statistics ?? null }));
  }, (told) => {
    showOnce(it.body, told, () => (told.some((node) => node.statistics !== null) ? h("div", { class: "masonry" }, told.map(ofNode)) : h("p", { class: "empty" }, "Nothing is counted: statistics are off, or these nodes have none.")));
  }, 2_000);
  const button = (on) => act(on ? "Switch on" : "Switch off", "admin", () => put(path("statistics"), { on }), {
    class: "small", done: `Statistics are ${on ? "on" : "off"}`, then: () => again(),
    confirm: on ? undefined : { title: "Switch statistics off?", says: "All nodes stop counting. What they have counted is told no more.", action: "Switch off", done: "Statistics are off" },
  });
  fill(it.tools, button(true), button(false));
  return it.element;
}

function ofNode({ id, statistics: told }) {
  const head = h("h3", {}, "Node ", nodeLink(id));
  if (told === null) return h("section", { class: "inset" }, head, h("p", { class: "soft" }, "It does not count."));
  const entries = Object.entries(told);
  const groups = entries.map(([name, it]) => [name, counts(it)]).filter(([, it]) => it !== null);
  const times = entries.filter(([, it]) => it !== null && typeof it === "object" && Number.isFinite(it.p99_ms));
  const rest = Object.fromEntries(entries.filter(([, it]) => it === null || typeof it !== "object"));
  return h("section", { class: "inset" }, head,
    times.length > 0 ? latencies(times, id) : null,
    groups.map(([name, it]) => bars(name, it)),
    Object.keys(rest).length > 0 ? facts(rest) : null);
}

/** How often each was counted, from however that is told: `[{browser, total}]`, or `{name: count}`. */
function counts(it) {
  if (it === null || typeof it !== "object") return null;
  if (!Array.isArray(it)) {
    const all = Object.entries(it);
    return all.length > 0 && !("p99_ms" in it) && all.every(([, one]) => typeof one === "number") ? all.map(([name, count]) => [name, count, ""]) : null;
  }
  const named = it.map((one) => [Object.values(one ?? {}).find((part) => typeof part === "string"), one?.total, Number.isFinite(one?.open) ? `, ${number(one.open)} open` : ""]);
  return named.length > 0 && named.every(([name, count]) => name !== undefined && Number.isFinite(count)) ? named : null;
}

function latencies(times, id) {
  return h("div", { class: "scroll-inner", tabindex: 0, role: "region", "aria-label": `How long it takes on ${id}` }, h("table", {}, h("caption", { class: "hidden" }, "How long it takes"),
    h("thead", {}, h("tr", {}, ["How long", "Mean", "Half", "99 %"].map((name, n) => h("th", { scope: "col", class: n > 0 ? "num" : null }, name)))),
    h("tbody", {}, times.map(([name, it]) => h("tr", {}, h("th", { scope: "row" }, words(name)), [it.mean_ms, it.p50_ms, it.p99_ms].map((ms) => h("td", { class: "num" }, it.count === 0 ? "\u2013" : duration(ms))))))));
}

function bars(name, every) {
  const all = every.filter(([, count]) => count > 0);
  if (all.length === 0) return null;
  const most = Math.max(1, ...all.map(([, count]) => count));
  const list = h("ul", { class: "bars", "aria-label": words(name) }, all.map(([key, count, more]) => {
    const bar = h("i");
    bar.style.setProperty("width", `${(count / most) * 100}%`);
    return h("li", {}, h("span", {}, transports.includes(key) ? transport(key) : words(key)), h("span", { class: "bar-track", "aria-hidden": "true" }, bar), h("b", {}, number(count), more ? h("span", { class: "soft" }, more) : null));
  }));
  return h("div", {}, h("h4", {}, words(name)), list);
}
