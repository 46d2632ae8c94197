// What nodes are told to do, and what of it can be changed while they run.

import { get, patch, path, post, put, query, remove } from "./api.js";
import { fill, h } from "./dom.js";
import { short, value, words } from "./format.js";
import { live, may } from "./live.js";
import { act, facts, field, form, head, panel, poll, showOnce, table } from "./parts.js";

export function configuration({ signal, search, setSearch }) {
  const chosen = search.get("node") ?? "";
  const nodes = (live.cluster?.nodes ?? []).map((it) => [it.id, `${short(it.id)}${it.self ? " (this one)" : ""}`]);
  const select = field("node", "Node", { kind: "select", value: chosen, options: [["", "all nodes"], ...nodes], note: "What is changed here is changed on it" });
  const scope = { id: chosen, get query() { return query({ node: this.id }); }, get words() { return this.id === "" ? "all nodes" : `node ${short(this.id)}`; } };
  select.addEventListener("change", () => setSearch({ node: select.querySelector("select").value }, true));
  const effective = panel("Effective configuration", { note: chosen === "" ? "Of the node that serves this page" : `Of node ${short(chosen)}` });
  const parts = { limits: limits(scope), filters: filters(scope), routes: routes(scope), small: small(scope) };
  const again = poll(signal, effective, (own) => report(scope.id, own), (told) => {
    const { member, links, journal, usage, published, stored, statistics, license, filters, handlers, limits: held, routes: ways, ...fixed } = told;
    showOnce(effective.body, fixed, facts);
    for (const part of Object.values(parts)) part.update(told, again);
  }, 3_000);
  const element = h("div", {},
    head("Configuration", { tools: select }),
    may("admin") ? null : h("p", { class: "notice quiet" }, "Your token lets you read this, and change nothing."),
    h("div", { class: "two" }, parts.limits.element, h("div", {}, parts.small.element, parts.filters.element)),
    parts.routes.element, effective.element);
  return { title: "Configuration", element };
}

/** What a node says of itself; without an id, the one that is asked. */
function report(id, signal) {
  const of = id || live.who.node || live.cluster?.nodes.find((it) => it.self)?.id;
  return get(path("nodes", of), signal);
}

function limits(scope) {
  const it = panel("Limits", { note: "What a node holds at most" });
  const update = (told, again) => showOnce(it.body, told.limits ?? {}, (now) => {
    const isOurs = ([key, limit]) => typeof limit === "number" && key !== "heartbeat_ms";
    const entries = Object.entries(now).filter(isOurs);
    const rest = Object.fromEntries(Object.entries(now).filter((entry) => !isOurs(entry) && entry[0] !== "heartbeat_ms"));
    const more = Object.keys(rest).length > 0 ? facts(rest) : null;
    if (!may("admin")) return facts(now);
    const fields = entries.map(([key, limit]) => field(key, `${words(key)}${unitOf(key)}`, { kind: "number", min: 0, step: 1, required: true, value: String(limit), note: noteOf(key, limit) }));
    return [form("Limits", "admin", h("div", { class: "grid-fields" }, fields), "Change limits", (values) => patch(path("limits") + scope.query, changed(values, now)), {
      confirm: (values) => ({
        title: "Change limits?",
        says: [`On ${scope.words}:`, list(Object.entries(changed(values, now)).map(([key, to]) => `${words(key)}: from ${value(key, now[key])} to ${value(key, to)}`)), "What topics have beyond theirs goes at once, and who lacks it is told of a gap. Sessions, connections and topics that there are beyond a limit stay; no further ones begin."],
        done: "Limits were changed",
      }), done: "Changed.", then: again,
    }), more];
  });
  return { element: it.element, update };
}

function unitOf(key) {
  const unit = /_(ms|us|bytes|secs|seconds)$/.exec(key)?.[1];
  return unit === undefined ? "" : `, ${unit === "bytes" ? "bytes" : unit.startsWith("s") ? "s" : unit}`;
}

function noteOf(key, limit) {
  const text = value(key, limit);
  return text === String(limit) || /^[\d,]+$/.test(text) ? undefined : text;
}

function list(lines) {
  return h("ul", {}, (lines.length === 0 ? ["nothing"] : lines).map((line) => h("li", {}, line)));
}

function changed(values, before) {
  return Object.fromEntries(Object.entries(values).map(([key, text]) => [key, Number(text)]).filter(([key, now]) => now !== before[key]));
}

function filters(scope) {
  const it = panel("Filters", { note: "What messages pass, in this order" });
  let again = () => {};
  const order = (names) => put(path("filters") + scope.query, { order: names });
  const update = (told, turn) => {
    again = turn;
    showOnce(it.body, told.filters ?? [], (now) => {
      if (now.length === 0) return h("p", { class: "empty" }, "No filters.");
      const names = now.map((filter) => filter.name);
      const move = (n, by) => act(by < 0 ? "Up" : "Down", "admin", () => {
        const next = [...names];
        next.splice(n + by, 0, ...next.splice(n, 1));
        return order(next);
      }, { icon: by < 0 ? "up" : "down", label: `Move ${names[n]} ${by < 0 ? "up" : "down"}`, class: "icon-button", done: `${names[n]} moved`, then: () => again() });
      return h("ol", { class: "steps" }, now.map((filter, n) => h("li", {}, h("span", { class: "mono" }, filter.name), h("span", { class: "soft mono" }, filter.pattern ?? ""),
        h("span", { class: "row end" }, n > 0 ? move(n, -1) : null, n < now.length - 1 ? move(n, 1) : null, act("Remove", "admin", () => remove(path("filters", filter.name) + scope.query), {
          icon: "close", label: `Remove ${filter.name}`, class: "icon-button danger", then: () => again(),
          confirm: { title: `Remove the filter ${filter.name}?`, says: [`On ${scope.words}, messages no longer pass it: what it kept back is published from then on.`, "It comes back when a node is started again."], action: "Remove it", done: `${filter.name} was removed` },
        })))));
    });
  };
  return { element: it.element, update };
}

function routes(scope) {
  const it = panel("Routes", { note: "Which handler serves which path. Clients stay connected when it is replaced" });
  let again = () => {};
  let told = {};
  const swap = (route) => {
    const others = (told.handlers ?? []).map((handler) => handler.name ?? handler).filter((name) => name !== route.handler);
    if (others.length === 0 || route.handler === null || route.handler === undefined) return h("span", { class: "soft" }, "no other handler has a name");
    return form(`Handler of ${route.template}`, "admin", [field("handler", `Handler of ${route.template}`, { kind: "select", options: others.map((name) => [name, name]) })], "Replace", ({ handler }) => put(path("routes", route.template) + scope.query, { handler }), {
      kind: "inline bare", class: "small", then: () => again(), done: ({ handler }) => `${handler} serves it.`,
      confirm: ({ handler }) => ({ title: "Replace a handler?", says: `On ${scope.words}, ${route.template} is served by ${handler} from now on. Sessions stay as they are; the calls that run now end in the old one.`, action: "Replace it", done: `${route.template} is served by ${handler}` }),
    });
  };
  const rows = table("Routes and handlers", [
    { name: "Path", text: (route) => route.template, kind: "mono" },
    { name: "Kind", text: (route) => route.kind ?? "\u2013", hideable: true },
    { name: "Handler", text: (route) => route.handler ?? "\u2013", kind: "mono" },
    ...(may("admin") ? [{ name: "Replace by", text: (route) => `${route.handler} ${JSON.stringify(told.handlers ?? [])}`, draw: swap, kind: "tools" }] : []),
  ], (route) => route.template, { empty: "No routes.", cards: true });
  fill(it.body, rows.element);
  const update = (now, turn) => {
    [told, again] = [now, turn];
    rows.update(now.routes ?? []);
  };
  return { element: it.element, update };
}

/** What is one value each. */
function small(scope) {
  const it = panel("While it runs", {});
  const update = (told, again) => showOnce(it.body, [told.log_filter, told.limits?.heartbeat_ms, on(told)], () => {
    const level = field("filter", "Log level", { required: true, value: told.log_filter ?? "", placeholder: "info,exosphere=debug" });
    const heartbeat = field("ms", "Heartbeat, in milliseconds", { kind: "number", min: 1, required: true, value: String(told.limits?.heartbeat_ms ?? told.websocket?.heartbeat_ms ?? "") });
    if (!may("admin")) return facts({ log_filter: told.log_filter, heartbeat_ms: told.limits?.heartbeat_ms, statistics: on(told) });
    const counting = on(told);
    return [
      form("Log level", "admin", level, "Set", ({ filter }) => put(path("log-level") + scope.query, { filter }), { kind: "inline", done: "Set." }),
      form("Heartbeat", "admin", heartbeat, "Set", ({ ms }) => put(path("heartbeat") + scope.query, { ms: Number(ms) }), { kind: "inline", done: "Set." }),
      h("div", { class: "row spread" },
        h("span", {}, "Statistics", counting === undefined ? null : h("span", { class: "soft" }, counting ? " are on" : " are off")),
        h("span", { class: "row" }, counting === true ? null : act("Switch on", "admin", () => put(path("statistics") + scope.query, { on: true }), { done: "Statistics are on", then: again }),
          counting === false ? null : act("Switch off", "admin", () => put(path("statistics") + scope.query, { on: false }), { then: again, confirm: { title: "Switch statistics off?", says: `On ${scope.words}, nothing is counted by transport and browser from now on.`, done: "Statistics are off" } }))),
      h("div", { class: "row spread" }, h("span", {}, "Configuration and certificates"), act("Reload", "admin", () => post(path("reload") + scope.query), {
        confirm: { title: "Reload?", says: `On ${scope.words}, files of configuration and certificates are read again and used from then on. Nobody is disconnected.`, done: "Reloaded" },
      })),
    ];
  });
  return { element: it.element, update };
}

/** Whether a node counts, if it says. */
function on(told) {
  return told.statistics === undefined ? undefined : told.statistics !== null;
}
