// What became of a message, and why a session got it or did not.

import { get, path, query } from "./api.js";
import { h, icon } from "./dom.js";
import { number, short, time, words } from "./format.js";
import { live } from "./live.js";
import { badge, facts, field, head, nodeLink, panel, poll, sessionLink, showOnce, topicLink, when } from "./parts.js";

/** What is no trouble, and what is; everything else is worth a look. */
const GOOD = ["delivered", "acknowledged"];
const BAD = ["dropped", "expired", "gap"];

export function messages({ signal, id = "", search, leave }) {
  const session = search.get("session") ?? "";
  const form = h("form", { class: "form explain-form", "aria-label": "Explain", autocomplete: "off" },
    field("message", "Message", { value: id, required: true, placeholder: "c3dbc2f09a7e41d5-17", note: "The id that a message was published as", "data-filter": true }),
    field("session", "Session", { value: session, placeholder: "67f0c3b1-...", note: "Left out, what became of the message for all is told" }),
    h("div", { class: "form-foot" }, h("button", { type: "submit", class: "primary" }, "Explain")));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const [message, whom] = [form.elements.message.value.trim(), form.elements.session.value.trim()];
    leave(`#/messages/${encodeURIComponent(message)}${query({ session: whom })}`);
  });
  const answers = [];
  if (id !== "" && session !== "") answers.push(explained(signal, id, session));
  if (id !== "") answers.push(fate(signal, id));
  const element = h("div", {},
    head("Messages", { note: h("p", { class: "soft" }, "Why did somebody get a message, or not?") }),
    panel("Explain", {}, form).element, answers,
    id === "" ? latest() : null);
  return { title: id === "" ? "Messages" : `Message ${id}`, element };
}

function explained(signal, message, session) {
  const it = panel("What happened", { class: "verdict-panel" });
  poll(signal, it, (own) => get(path("explain") + query({ message, session }), own), (told) => {
    showOnce(it.body, told, () => verdict(told));
  }, 2_000);
  return it.element;
}

function verdict(told) {
  const kind = GOOD.includes(told.verdict) ? "good" : BAD.includes(told.verdict) ? "bad" : "warn";
  return [
    h("div", { class: "verdict", "data-state": kind, role: "status" },
      icon(kind === "good" ? "check" : "warn"),
      h("div", {}, h("p", { class: "verdict-word" }, `${words(told.verdict ?? "unknown")}${told.cause ? `: ${words(told.cause).toLowerCase()}` : ""}`), h("p", { class: "verdict-sentence" }, sentence(told.sentence ?? "")))),
    told.unanswered?.length > 0 ? h("p", { class: "notice warn" }, `Without what ${told.unanswered.map(short).join(", ")} would say: no answer.`) : null,
    h("div", { class: "two" },
      h("div", {}, h("h3", {}, "Step by step"), timeline(told.steps ?? [])),
      h("div", {}, h("h3", {}, "Node by node"), byNode(told.nodes ?? []))),
    h("p", { class: "soft" }, "Session ", sessionLink(told.session, true)),
  ];
}

function sentence(text) {
  return text === "" ? "" : `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;
}

function timeline(steps) {
  if (steps.length === 0) return h("p", { class: "empty" }, "No node remembers a step of it.");
  const first = steps[0].at_ms;
  return h("ol", { class: "timeline" }, steps.map((step) => h("li", { "data-what": step.what },
    h("div", { class: "timeline-head" }, h("b", {}, words(step.what ?? "")), h("span", { class: "mono soft", title: time(step.at_ms, true) }, Number.isFinite(step.at_ms) ? (step.at_ms === first ? time(step.at_ms, true) : `+${step.at_ms - first} ms`) : "")),
    h("p", {}, step.detail ? `${step.detail} ` : "", step.node ? [h("span", { class: "soft" }, "on "), nodeLink(step.node)] : null))));
}

function byNode(nodes) {
  if (nodes.length === 0) return h("p", { class: "empty" }, "No node knows anything of it.");
  return h("ul", { class: "by-node" }, nodes.map(({ node, fate, cause, ...more }) => h("li", {},
    h("p", {}, nodeLink(node), " ", fate ? badge(fate) : null, cause ? h("span", { class: "soft" }, words(cause).toLowerCase()) : null), moreOf(more))));
}

function moreOf(told) {
  const known = Object.fromEntries(Object.entries(told).filter(([, it]) => it !== null && it !== "" && !(Array.isArray(it) && it.length === 0)));
  return Object.keys(known).length === 0 ? null : facts(known);
}

function fate(signal, id) {
  const it = panel("The message", { note: "What the nodes know of it" });
  poll(signal, it, (own) => get(path("messages", id), own), (told) => showOnce(it.body, told, () => [
    told.unanswered?.length > 0 ? h("p", { class: "notice warn" }, `Without what ${told.unanswered.map(short).join(", ")} would say: no answer.`) : null,
    h("dl", { class: "facts" },
      line("Message", h("span", { class: "mono" }, told.id ?? id)),
      told.topic ? line("Topic", topicLink(told.topic)) : null,
      line("Published by", nodeLink(told.origin)),
      line("Kept on", told.kept_on?.length > 0 ? h("span", { class: "row" }, told.kept_on.map((node) => nodeLink(node))) : "no node any more"),
      Number.isFinite(told.sessions) ? line("Sessions", `${number(told.acknowledged)} of ${number(told.sessions)} have it, or joined behind it`) : null,
      line("Who waits for it", told.waiting?.length > 0 ? h("span", { class: "row" }, told.waiting.map((session) => [sessionLink(session), " ", h("a", { href: `#/messages/${encodeURIComponent(id)}?session=${encodeURIComponent(session)}` }, "why?")])) : "nobody")),
    h("h3", {}, "Node by node"), byNode((told.nodes ?? []).map(({ topic, waiting, ...own }) => own)),
  ]), 2_000);
  return it.element;
}

function line(name, ...it) {
  return h("div", {}, h("dt", {}, name), h("dd", {}, it));
}

/** Messages that went wrong lately: what one would ask about. */
function latest() {
  const wrong = live.events.filter((event) => event.type === "message.dropped").slice(0, 20);
  const it = panel("Dropped lately", { note: "Since this page was opened" }, wrong.length === 0 ? h("p", { class: "empty" }, "None.") : h("ul", { class: "plain-list" }, wrong.map((event) => h("li", {}, when(event.at_ms), " ", topicLink(event.subject), " ", h("span", { class: "soft" }, event.detail)))));
  return it.element;
}
