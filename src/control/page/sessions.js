// The sessions of the whole cluster, and one of them.

import { get, path, post, put, query, remove } from "./api.js";
import { h, mark } from "./dom.js";
import { ago, number, short, transport, transports, words } from "./format.js";
import { live, may } from "./live.js";
import { act, badge, facts, field, figure, form, head, nodeLink, pager, panel, poll, sessionLink, settled, showOnce, table, topicLink, when } from "./parts.js";

const FILTERS = ["prefix", "topic", "path", "node", "state", "transport", "principal"];

export function sessions({ signal, search, setSearch }) {
  const turn = pager("sessions", () => again());
  const known = (name) => search.get(name) ?? "";
  const nodes = (live.cluster?.nodes ?? []).map((it) => [it.id, short(it.id)]);
  if (known("node") !== "" && !nodes.some(([id]) => id === known("node"))) nodes.push([known("node"), short(known("node"))]);
  const fields = [
    field("prefix", "ID begins with", { kind: "search", value: known("prefix"), "data-filter": true }),
    field("topic", "In topic", { kind: "search", value: known("topic") }),
    field("path", "At path", { kind: "search", value: known("path") }),
    field("node", "On node", { kind: "select", value: known("node"), options: [["", "any"], ...nodes] }),
    field("state", "State", { kind: "select", value: known("state"), options: [["", "any"], ["attached", "attached"], ["detached", "detached"]] }),
    field("principal", "Of user", { kind: "search", value: known("principal") }),
    field("transport", "Transport", { kind: "select", value: known("transport"), options: [["", "any"], ...transports.map((it) => [it, transport(it)])] }),
  ];
  const filters = h("form", { class: "filters", role: "search", "aria-label": "Filters", on: { submit: (event) => event.preventDefault() } }, fields);
  const list = table("Sessions", [
    { name: "Session", text: (it) => it.id, draw: (it) => sessionLink(it.id) },
    { name: "State", text: (it) => it.state, draw: (it) => badge(it.state) },
    { name: "Transport", text: by, draw: (it) => (by(it) ? h("span", { class: "by", "data-tint": by(it) }, transport(by(it))) : "\u2013") },
    { name: "Path", text: (it) => it.path, kind: "name" },
    { name: "Node", text: (it) => it.node, draw: (it) => nodeLink(it.node) },
    { name: "Topics", text: (it) => number(it.topics), kind: "num", hideable: true },
    { name: "Pending", text: (it) => number(it.pending), kind: "num" },
    { name: "Principal", text: (it) => it.principal ?? "\u2013", hideable: true, kind: "name" },
    { name: "Since", text: (it) => it.connection?.since_ms, draw: (it) => when(it.connection?.since_ms), hideable: true },
    { name: "User agent", text: (it) => it.connection?.user_agent ?? "\u2013", hideable: true, kind: "agent" },
  ], (it) => it.id, { empty: "No session is like that.", cards: true });
  const it = panel("All sessions", {}, filters, list.element, turn.element);
  const asked = () => Object.fromEntries(FILTERS.map((name) => [name, filters.elements[name].value.trim()]));
  const again = poll(signal, it, (own) => get(path("sessions") + query({ ...asked(), after: turn.after, limit: 50 }), own), (page) => {
    list.update(page.items ?? []);
    turn.update(page, "session");
    const silent = page.unanswered ?? [];
    if (silent.length > 0) it.notice(`Without those of ${silent.map(short).join(", ")}, which did not answer.`, "warn");
  });
  filters.addEventListener("input", settled(() => {
    turn.begin();
    setSearch(asked());
    again();
  }));
  return { title: "Sessions", element: h("div", {}, head("Sessions"), it.element) };
}

/** What a session is connected by, if it is. */
function by(it) {
  return it.connection?.transport;
}

export function session({ signal, id, leave }) {
  const figures = {
    state: figure("State"), transport: figure("Transport"), node: figure("Node"), pending: figure("Pending"), since: figure("Here since"),
  };
  const tracked = tracking(id);
  const tools = h("div", { class: "row" }, tracked.button, sessionTools(id, () => again(), leave));
  const memberships = table("Topics of the session", [
    { name: "Topic", text: (it) => it.topic, draw: (it) => topicLink(it.topic) },
    { name: "Position", text: (it) => it.position, kind: "mono token", hideable: true },
    { name: "Stands", text: (it) => (it.left ? "left" : "in") },
    { name: "Pending", text: (it) => number(it.pending), kind: "num" },
    ...(may("operate") ? [{ name: "", kind: "tools", text: () => "act", draw: (it) => h("div", { class: "row" }, leaveTool(id, it.topic, () => again())) }] : []),
  ], (it) => it.topic, { empty: "It is in no topic.", cards: true });
  const add = form("Add to a topic", "operate", [field("topic", "Add to a topic", { required: true, placeholder: "/chat/lobby" })], "Add", ({ topic }) => put(path("topics", topic.trim(), "sessions", id)), {
    kind: "inline", done: ({ topic }) => `It is in ${topic.trim()}.`, reset: true, then: () => again(),
  });
  const topics = panel("Topics", { note: "And how far it has read" }, memberships.element, add);
  const send = form("Send", "operate", [field("message", "Message", { kind: "area", required: true, wide: true, placeholder: "What this session alone is to get" })], "Send", ({ message }) => post(path("sessions", id, "send"), { message }), {
    done: (values, told) => `Sent${told?.id ? ` as ${told.id}` : ""}.`,
  });
  const request = panel("Request", { note: "As the client made it" });
  const aboutIt = panel("About it", {});
  const again = poll(signal, aboutIt, (own) => get(path("sessions", id), own), (told) => {
    const { session: it, memberships: topics, request: asked, ...rest } = told;
    const way = it.connection ?? {};
    figures.state.update(words(it.state ?? "\u2013"), it.detached ?? `connection ${number(told.epoch)}`, it.state === "attached" ? "good" : "warn");
    figures.transport.update(way.transport ? transport(way.transport) : "\u2013", way.evidence ? words(way.evidence) : "");
    figures.node.update(short(it.node), way.address ?? "");
    figures.pending.update(number(it.pending), "", it.pending > 100 ? "warn" : null);
    figures.since.update(way.since_ms ? ago(way.since_ms) : "\u2013");
    memberships.update(topics ?? []);
    tracked.know(told.tracked);
    request.element.hidden = !asked;
    showOnce(request.body, asked ?? {}, asAsked);
    const { topics: count, pending, state, ...about } = it;
    showOnce(aboutIt.body, Object.fromEntries(Object.entries({ ...about, ...rest }).filter(([, value]) => value !== null)), facts);
  });
  const ask = h("form", { class: "form inline", "aria-label": "Explain", on: { submit: (event) => {
    event.preventDefault();
    leave(`#/messages/${encodeURIComponent(ask.elements.message.value.trim())}?session=${encodeURIComponent(id)}`);
  } } }, field("message", "Why did it get a message, or not?", { required: true, placeholder: "id of a message" }), h("div", { class: "form-foot" }, h("button", { type: "submit", class: "primary" }, "Explain")));
  const element = h("div", {},
    head(`Session ${short(id)}`, { note: h("p", { class: "soft mono" }, id), tools }),
    h("div", { class: "figures" }, Object.values(figures).map((it) => it.element)),
    topics.element,
    h("div", { class: "two" }, send === null ? null : panel("Send", {}, send).element, panel("Explain", {}, ask).element),
    h("div", { class: "two" }, aboutIt.element, request.element));
  return { title: `Session ${short(id)}`, element };
}

/** Takes the session out of a topic, unless that is its own: it begins with `~`, and no session leaves it. */
function leaveTool(id, topic, then) {
  if (topic.startsWith("~")) return null;
  return act("Leave", "operate", () => remove(path("topics", topic, "sessions", id)), {
    then, label: `Remove from ${topic}`, icon: "close", class: "icon-button danger",
    confirm: { title: "Remove the session from this topic?", says: `It gets nothing more of ${topic}. It stays connected.`, action: "Remove it", done: `Removed from ${topic}` },
  });
}

/** A request, whose headers are told as pairs since there may be several of a name. */
function asAsked({ query, headers, ...more }) {
  const pairs = Array.isArray(headers) ? headers : Object.entries(headers ?? {});
  return [
    facts({ query, ...more }),
    h("h3", {}, "Headers"),
    pairs.length === 0 ? h("p", { class: "empty" }, "None.") : h("dl", { class: "facts" }, pairs.map(([name, value]) => h("div", {}, h("dt", { class: "mono" }, name), h("dd", { class: "mono" }, value)))),
  ];
}

function sessionTools(id, then, leave) {
  return [
    act("Resume", "operate", () => post(path("sessions", id, "resume")), {
      class: "quiet", then,
      confirm: { title: "Resume this session?", says: "Its connection ends now, for its client to connect anew. The session goes on, and misses nothing.", done: `Session ${short(id)} was resumed` },
    }),
    act("Close", "operate", () => remove(path("sessions", id)), {
      class: "danger quiet", then: () => leave("#/sessions"),
      confirm: { title: "Close this session?", says: [`Session ${id} ends: its client is told so, what it has not fetched is gone, and its handler is told that it left.`], action: "Close it", done: `Session ${short(id)} was closed` },
    }),
  ];
}

/** A switch that has every step of the session told as an event. */
function tracking(id) {
  const isOn = () => button.getAttribute("aria-pressed") === "true";
  // Offered only by nodes that say whether they do.
  const know = (on) => {
    if (button === null) return;
    button.hidden = on === undefined;
    mark(button, "aria-pressed", String(on === true));
  };
  const button = act("Track", "operate", () => (isOn() ? remove(path("tracked", id)) : put(path("tracked", id))), {
    class: "quiet",
    done: "Steps of tracked sessions are told as events",
    then: () => know(!isOn()),
  });
  know(undefined);
  return { button, know };
}
