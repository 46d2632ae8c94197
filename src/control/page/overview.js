// The whole cluster at a glance.

import { shares, sparkline } from "./chart.js";
import { h } from "./dom.js";
import { feed, kindOf } from "./events.js";
import { brief, bytes, number, plural, rate, roundTrip, short, transport, transports } from "./format.js";
import { ledger } from "./ledger.js";
import { connections, linkKey, live, sum, watch } from "./live.js";
import { figure, head, nodeLink, panel, table } from "./parts.js";
import { picture } from "./picture.js";

/** How many of the latest samples a small line shows. */
const SPARK = 90;

export function overview({ signal }) {
  const lines = { delivered: sparkline(), published: sparkline(), sessions: sparkline(), pending: sparkline() };
  const figures = {
    nodes: figure("Nodes", { kind: "nodes" }),
    sessions: figure("Sessions", { line: lines.sessions.element }),
    published: figure("Published a second", { line: lines.published.element }),
    delivered: figure("Delivered a second", { line: lines.delivered.element }),
    pending: figure("Pending", { line: lines.pending.element }),
    unaccounted: figure("Unaccounted", { kind: "promise" }),
  };
  const sky = picture(signal);
  const happened = feed(60);
  const cluster = panel("The cluster", { class: "sky" }, sky.element);
  const news = panel("What just happened", { class: "news" }, happened.element);
  const books = ledger("What became of messages");
  const by = shares("Connections by transport");
  const links = linkTable();

  const update = () => {
    if (live.cluster === null) return;
    showFigures(figures);
    for (const [name, line] of Object.entries(lines)) line.update(live.samples.slice(-SPARK).map((sample) => sample[name] ?? 0));
    sky.update();
    books.update(live.cluster.accounting ?? {});
    const counts = connections(live.cluster);
    const names = [...new Set([...transports, ...Object.keys(counts)])];
    by.update(names.map((name) => ({ name: transport(name), tint: name, value: counts[name] ?? 0 })), number);
    links.update(live.cluster.links);
  };
  let due = false;
  const soon = () => {
    if (due) return;
    due = true;
    setTimeout(() => {
      due = false;
      happened.update();
    }, 200);
  };
  watch(signal, (what, event) => {
    if (what === "cluster") update();
    if (what === "event") sky.ripple(event.node, kindOf(event));
    soon();
  });
  const element = h("div", {},
    head("Overview"),
    h("div", { class: "figures" }, Object.values(figures).map((it) => it.element)),
    h("div", { class: "overview" }, cluster.element, news.element),
    h("div", { class: "two" }, books.element, panel("Connections by transport", {}, by.element).element),
    panel("Links", { note: "What nodes have between them" }, links.element).element);
  update();
  happened.update();
  return { title: "Overview", element };
}

function showFigures(figures) {
  const { nodes, unanswered, topics, accounting = {} } = live.cluster;
  const rates = live.rates.get("cluster") ?? {};
  const sessions = live.cluster.sessions ?? sum(nodes, (node) => node.sessions ?? 0);
  const odd = nodes.filter((node) => node.state && node.state !== "active");
  const gone = live.gone.size;
  const state = gone > 0 || unanswered.length > 0 ? "bad" : odd.length > 0 ? "warn" : "good";
  const news = [gone > 0 ? `${gone} gone` : null, unanswered.length > 0 ? `${unanswered.length} silent` : null, ...odd.map((node) => `${short(node.id)} ${node.state}`)].filter(Boolean);
  figures.nodes.update(number(nodes.length), news.length > 0 ? news.join(", ") : "all there", state);
  figures.sessions.update(brief(sessions), `in ${plural(topics ?? 0, "topic")}`);
  figures.published.update(rate(rates.published), `${brief(accounting.accepted)} in all`);
  figures.delivered.update(rate(rates.delivered), `${brief(sum(nodes, (node) => node.totals?.delivered ?? Number.NaN))} in all`);
  figures.pending.update(brief(accounting.pending), "stored, and waited for");
  const lost = accounting.unaccounted;
  figures.unaccounted.update(number(lost), lost === 0 ? "all accounted for" : lost > 0 ? "a mistake: please report it" : "", lost === 0 ? "good" : lost > 0 ? "bad" : null);
}

export function linkTable() {
  return table("Links between nodes", [
    { name: "From", text: (link) => link.from, draw: (link) => nodeLink(link.from) },
    { name: "To", text: (link) => link.to, draw: (link) => nodeLink(link.to) },
    { name: "Address", text: (link) => link.address ?? "\u2013", kind: "mono", hideable: true },
    { name: "Round trip", text: (link) => roundTrip(link.rtt_us), kind: "num" },
    { name: "Behind", text: (link) => number(link.lag), kind: "num" },
    { name: "Queued", text: (link) => number(link.queued), kind: "num", hideable: true },
    { name: "Sends", text: (link) => `${bytes(Math.round(live.rates.get(linkKey(link))?.sent ?? 0))}/s`, kind: "num" },
    { name: "Sent", text: (link) => bytes(link.sent_bytes), kind: "num", hideable: true },
    { name: "Received", text: (link) => bytes(link.received_bytes), kind: "num", hideable: true },
    { name: "Lost", text: (link) => number(link.lost_packets), kind: "num", hideable: true },
  ], linkKey, { empty: "One node alone has no links." });
}
