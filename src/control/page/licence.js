// The licence that holds, and how much of it is used.

import { get, path } from "./api.js";
import { h } from "./dom.js";
import { number, plural, words } from "./format.js";
import { live } from "./live.js";
import { badge, facts, head, panel, poll, showOnce } from "./parts.js";

export function licence({ signal }) {
  const it = panel("The licence that holds", {});
  poll(signal, it, (own) => get(path("license"), own), (told) => {
    const active = live.cluster?.nodes.length ?? 0;
    showOnce(it.body, { told, active }, () => draw(told, active));
  }, 3_000);
  return { title: "Licence", element: h("div", {}, head("Licence"), it.element) };
}

function draw(told, active) {
  const grant = told?.license ?? told?.grant ?? told;
  if (grant === null || grant === undefined || Object.keys(grant).length === 0) {
    return h("div", { class: "calm" }, h("p", { class: "verdict-word" }, "No licence"), h("p", { class: "soft" }, "None is needed, or none was given. What this application allows without one is its vendor's to say."));
  }
  const most = grant.max_nodes;
  const used = grant.active ?? told.active ?? active;
  return [
    h("div", { class: "licence-head" },
      h("div", {}, h("p", { class: "verdict-word" }, grant.customer ?? grant.id ?? "A licence"), grant.validity ? badge(String(grant.validity), words(grant.validity)) : null),
      Number.isFinite(most) ? gauge(used, most) : null),
    facts({ ...grant, not_before: day(grant.not_before), expires: grant.expires === null ? "never" : day(grant.expires) }),
  ];
}

/** A day, of seconds since 1970. */
function day(seconds) {
  return Number.isFinite(seconds) ? new Date(seconds * 1000).toISOString().slice(0, 10) : seconds;
}

function gauge(used, most) {
  const fill = h("i");
  fill.style.setProperty("width", `${Math.min(100, (used / most) * 100)}%`);
  return h("div", { class: "gauge", "data-state": used > most ? "bad" : used === most ? "warn" : "good" },
    h("p", {}, h("b", {}, number(used)), ` of ${plural(most, "node")} active`), h("div", { class: "bar-track", "aria-hidden": "true" }, fill));
}
