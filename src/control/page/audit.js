// Who did what, to what, and what came of it.

import { get, path, query } from "./api.js";
import { h } from "./dom.js";
import { short, words } from "./format.js";
import { watch } from "./live.js";
import { badge, field, head, nodeLink, pager, panel, poll, settled, table, when } from "./parts.js";

export function audit({ signal }) {
  const turn = pager("operations", () => again());
  let wanted = "";
  let page = { items: [] };
  const list = table("What was done", [
    { name: "When", text: (it) => it.at_ms, draw: (it) => when(it.at_ms) },
    { name: "Who", text: (it) => it.who },
    { name: "What", text: (it) => words(it.what) },
    { name: "To what", text: (it) => it.target, kind: "name" },
    { name: "On node", text: (it) => it.node, draw: (it) => nodeLink(it.node), hideable: true },
    { name: "Result", text: (it) => (it.done ? "done" : "not done"), draw: (it) => badge(it.done ? "good" : "bad", it.done ? "done" : "not done") },
    { name: "What came of it", text: (it) => it.detail, kind: "name", hideable: true },
  ], (it) => `${it.node} ${it.number}`, { empty: "Nothing was done yet.", cards: true });
  const filter = field("filter", "With the text", { kind: "search", "data-filter": true });
  const it = panel("Operations", { note: "The latest first. Reading is not written down" }, h("div", { class: "filters", role: "search" }, filter), list.element, turn.element);
  const show = () => {
    list.update(page.items.filter((entry) => wanted === "" || JSON.stringify(entry).toLowerCase().includes(wanted)));
  };
  const again = poll(signal, it, (own) => get(path("audit") + query({ after: turn.after, limit: 100 }), own), (told) => {
    page = told;
    show();
    turn.update(told, "operation");
    const silent = told.unanswered ?? [];
    if (silent.length > 0) it.notice(`Without those of ${silent.map(short).join(", ")}, which did not answer.`, "warn");
  });
  filter.addEventListener("input", settled(() => {
    wanted = filter.querySelector("input").value.trim().toLowerCase();
    show();
  }, 100));
  watch(signal, (what, event) => what === "event" && event.type === "audit" && again());
  return { title: "Audit", element: h("div", {}, head("Audit"), it.element) };
}
