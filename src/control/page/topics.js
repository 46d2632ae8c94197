// The topics, and one of them: what is in it, who reads it, and what can be done with it.

import { get, path, post, put, query, remove } from "./api.js";
import { fill, h } from "./dom.js";
import { brief, bytes, number, plural, short, time } from "./format.js";
import { ledger } from "./ledger.js";
import { may } from "./live.js";
import { act, badge, facts, field, figure, form, head, ids, messageLink, nodeLink, pager, panel, poll, sessionLink, settled, showOnce, table, topicLink, when } from "./parts.js";

export function topics({ signal, search, setSearch }) {
  const turn = pager("topics", () => again());
  const input = field("prefix", "Names that begin with", { kind: "search", value: search.get("prefix") ?? "", placeholder: "/chat/", "data-filter": true });
  const state = field("state", "State", { kind: "select", value: search.get("state") ?? "", options: [["", "any"], ["closed", "closed"]] });
  const list = table("Topics", [
    { name: "Topic", text: (it) => it.name, draw: (it) => topicLink(it.name) },
    { name: "Sessions", text: (it) => number(it.sessions), kind: "num" },
    { name: "Messages", text: (it) => number(it.messages), kind: "num" },
    { name: "Size", text: (it) => bytes(it.bytes), kind: "num", hideable: true },
    { name: "Accepted", text: (it) => brief(tally(it).accepted), kind: "num", hideable: true },
    { name: "Pending", text: (it) => brief(tally(it).pending), kind: "num", hideable: true },
    { name: "State", text: (it) => (it.closed ? "closed" : "open"), draw: (it) => badge(it.closed ? "closed" : "open") },
  ], (it) => it.name, { empty: "No topic has such a name." });
  const it = panel("All topics", {}, h("div", { class: "filters", role: "search" }, input, state), list.element, turn.element);
  const prefix = () => input.querySelector("input").value;
  const closed = () => state.querySelector("select").value;
  const again = poll(signal, it, (own) => get(path("topics") + query({ prefix: prefix(), closed: closed() && true, after: turn.after, limit: 50 }), own), (page) => {
    list.update(page.items ?? []);
    turn.update(page, "topic");
  });
  const filter = settled(() => {
    turn.begin();
    setSearch({ prefix: prefix(), state: closed() });
    again();
  });
  for (const it of [input, state]) it.addEventListener("input", filter);
  const open = form("Open a closed topic", "operate", [field("name", "Name", { required: true, placeholder: "/chat/lobby" })], "Open", ({ name }) => put(path("topics", name)), {
    kind: "inline", done: ({ name }) => `${name} is not, or no longer, closed.`, reset: true, then: () => again(),
  });
  return { title: "Topics", element: h("div", {}, head("Topics"), it.element, open === null ? null : panel("Open a closed topic", { note: "All others are open, and there once somebody joins them" }, open).element) };
}

/** What became of a topic's messages. */
export function tally(it) {
  return it.accounting ?? {};
}

export function topic({ signal, id: name }) {
  const figures = {
    sessions: figure("Sessions"),
    messages: figure("Messages kept"),
    bytes: figure("Size"),
    pending: figure("Pending"),
    dropped: figure("Dropped"),
  };
  const tools = h("div", { class: "row" });
  const books = ledger("What became of its messages");
  const about = panel("About it", {});
  let drawn = null;
  const again = poll(signal, about, (own) => get(path("topics", name), own), (told) => {
    const { name: _, sessions: readers, messages: kept, bytes: size, accounting, ...more } = told;
    books.update(accounting ?? {});
    about.element.hidden = Object.keys(more).length === 0;
    const count = tally(told);
    const dropped = Object.values(count.dropped ?? {}).filter(Number.isFinite).reduce((a, b) => a + b, 0);
    figures.sessions.update(number(readers));
    figures.messages.update(number(kept), `${brief(count.accepted)} accepted`);
    figures.bytes.update(bytes(size));
    figures.pending.update(number(count.pending));
    figures.dropped.update(number(dropped), count.expired ? `${number(count.expired)} expired` : "", dropped > 0 ? "warn" : null);
    showOnce(about.body, more, facts);
    if (drawn === told.closed) return;
    drawn = told.closed;
    fill(tools, told.closed ? badge("closed") : null, topicTools(name, told.closed, () => again()));
  });
  const messages = messagesPanel(signal, name);
  const sessions = sessionsPanel(signal, name);
  const publish = publishForm(name, () => messages.again());
  const element = h("div", {},
    head(name, { mono: true, note: h("p", { class: "soft" }, "Topic"), tools }),
    h("div", { class: "figures" }, Object.values(figures).map((it) => it.element)),
    publish === null ? null : panel("Publish", {}, publish).element,
    books.element, messages.element, sessions.element, about.element);
  return { title: `Topic ${name}`, element };
}

function topicTools(name, closed, then) {
  if (closed) return act("Open", "operate", () => put(path("topics", name)), { class: "primary", done: `${name} is open`, then });
  return [
    act("Resume all", "operate", () => post(path("topics", name, "resume")), {
      class: "quiet", then,
      confirm: { title: `Resume all of ${name}?`, says: "The connections of its clients end now, for them to connect anew. Their sessions go on, and miss nothing.", done: `All of ${name} were resumed` },
    }),
    act("Close", "operate", () => remove(path("topics", name)), {
      class: "danger quiet", then,
      confirm: { title: `Close ${name}?`, says: ["All sessions leave it, on every node, and until it is opened again nobody may publish to it or join it.", "What was published before, its sessions still get."], action: "Close this topic", done: `${name} is closed` },
    }),
  ];
}

function publishForm(name, then) {
  return form("Publish", "operate", [
    field("message", "Message", { kind: "area", required: true, wide: true, placeholder: "What all sessions of this topic are to get" }),
    field("whom", "To", { kind: "select", options: [["all", "everybody"], ["to", "only these sessions"], ["except", "all but these sessions"]] }),
    field("ids", "Sessions", { placeholder: "ids, parted by spaces" }),
  ], "Publish", ({ message, whom, ids: text }) => post(path("topics", name, "publish"), { message, ...(whom === "all" ? {} : { [whom]: ids(text) }) }), {
    done: (values, told) => `Published as ${told?.id ?? "a message"}.`, then,
  });
}

function messagesPanel(signal, name) {
  const turn = pager("messages", () => again());
  const list = table(`Messages of ${name}`, [
    { name: "Message", text: (it) => it.id, draw: (it) => messageLink(it.id) },
    { name: "By", text: (it) => it.origin, draw: (it) => nodeLink(it.origin), hideable: true },
    { name: "Content", text: (it) => it.text ?? it.base64, draw: content, kind: "words" },
    { name: "Size", text: (it) => bytes(it.bytes), kind: "num", hideable: true },
    { name: "For", text: whom, hideable: true },
    { name: "Stored", text: (it) => time(it.stored_ms), draw: (it) => when(it.stored_ms), hideable: true },
    { name: "Waiting", text: (it) => number(it.waiting), kind: "num" },
    ...(may("operate") ? [{ name: "", text: () => "act", draw: (it) => messageTools(name, it, () => again()), kind: "tools" }] : []),
  ], (it) => it.id, { empty: "Nothing is kept.", cards: true });
  const it = panel("Messages", { note: "What is kept, the newest first. A message's id leads to who has it" }, list.element, turn.element);
  const again = poll(signal, it, (own) => get(path("topics", name, "messages") + query({ after: turn.after, limit: 20 }), own), (page) => {
    list.update(page.items ?? []);
    turn.update(page, "message");
  });
  return { element: it.element, again };
}

function content(it) {
  const text = `${it.text ?? it.base64 ?? ""}${it.cut ? "\u2026" : ""}`;
  const cut = text.length > 140;
  const shown = h("span", { class: "payload mono" }, cut ? `${text.slice(0, 140)}\u2026` : text, it.text === undefined && it.base64 ? h("span", { class: "tag" }, "base64") : null);
  if (!cut) return shown;
  return h("details", {}, h("summary", {}, shown), h("pre", { tabindex: 0 }, text));
}

/** Whom a message is for. */
function whom({ to, named_in_all: named = 0 }) {
  return to === "only" ? plural(named, "session") : to === "except" ? `all but ${named}` : "everybody";
}

function messageTools(name, it, then) {
  return h("div", { class: "row" },
    act("Withdraw", "operate", () => remove(path("topics", name, "messages", it.id)), {
      then, label: `Withdraw ${it.id}`, icon: "close", class: "icon-button danger",
      confirm: { title: "Withdraw this message?", says: [`${it.id} is taken back from all who have not got it, on every node. They never get it, and are told of no gap.`], action: "Withdraw it", done: "The message was withdrawn" },
    }));
}

function sessionsPanel(signal, name) {
  const turn = pager("sessions", () => again());
  const list = table(`Sessions of ${name}`, [
    { name: "Session", text: (it) => it.session, draw: (it) => sessionLink(it.session, true) },
    { name: "State", text: (it) => it.state, draw: (it) => badge(it.state) },
    { name: "Node", text: (it) => it.node, draw: (it) => nodeLink(it.node), hideable: true },
    { name: "Position", text: (it) => it.position, kind: "mono token", hideable: true },
    { name: "Pending", text: (it) => number(it.pending), kind: "num" },
    ...(may("operate") ? [{ name: "", kind: "tools", text: () => "act", draw: (it) => h("div", { class: "row" }, act("Remove", "operate", () => remove(path("topics", name, "sessions", it.session)), {
      then: () => again(), label: `Remove ${it.session}`, icon: "close", class: "icon-button danger",
      confirm: { title: "Remove this session from the topic?", says: `Session ${it.session} gets nothing more of ${name}. It stays connected.`, action: "Remove it", done: `Session ${short(it.session)} left ${name}` },
    })) }] : []),
  ], (it) => it.session, { empty: "Nobody reads it.", cards: true });
  const add = form("Add a session", "operate", [field("session", "Add a session", { required: true, placeholder: "id of a session" })], "Add", ({ session }) => put(path("topics", name, "sessions", session.trim())), {
    kind: "inline", done: ({ session }) => `Session ${short(session.trim())} is in.`, reset: true, then: () => again(),
  });
  const exclude = form("Keep a message from a session", "operate", [
    field("message", "Keep message", { required: true, placeholder: "id of a message" }), field("session", "from session", { required: true, placeholder: "id of a session" }),
  ], "Exclude", ({ message, session }) => post(path("topics", name, "messages", message.trim(), "exclude"), { session: session.trim() }), { kind: "inline", done: "It will not get that message." });
  const it = panel("Sessions", { note: "How far each has read" }, list.element, turn.element, add, exclude);
  const again = poll(signal, it, (own) => get(path("topics", name, "sessions") + query({ after: turn.after, limit: 20 }), own), (page) => {
    list.update(page.items ?? []);
    turn.update(page, "session");
  });
  return { element: it.element, again };
}
