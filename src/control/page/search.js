// A way to everything by typing: pages, nodes, topics, sessions, messages.

import { get, path, query } from "./api.js";
import { h, icon, keep, mark, say } from "./dom.js";
import { plural, short, transport } from "./format.js";
import { live } from "./live.js";
import { fresh, settled, show } from "./parts.js";

const FOUND_EACH = 6;

/** Opens the dialog. `pages` are `{ key, name }`, `go` takes a place. */
export function search(pages, go) {
  if (document.querySelector("dialog.palette") !== null) return;
  const listId = fresh("found");
  const input = h("input", {
    type: "text", role: "combobox", "aria-label": "Search nodes, topics, sessions, messages", "aria-expanded": "true", "aria-controls": listId,
    "aria-autocomplete": "list", placeholder: "A node, topic, session, message or page", spellcheck: "false", autocomplete: "off", autocapitalize: "none", autofocus: true,
  });
  const list = h("ul", { id: listId, role: "listbox", "aria-label": "Found" });
  const told = h("p", { class: "soft palette-foot", role: "status" });
  const dialog = h("dialog", { class: "palette", "aria-label": "Search" }, h("div", { class: "palette-field" }, icon("search"), input), list, told);
  let found = [];
  let at = 0;
  let asked = null;

  const take = (it) => {
    dialog.close();
    go(it.place);
  };
  const draw = () => {
    at = Math.max(0, Math.min(at, found.length - 1));
    keep(list, found, (it) => `${it.kind} ${it.place}`, (it) => {
      const line = h("li", { role: "option", id: fresh("option") }, icon(it.icon), h("span", { class: "palette-name" }, it.name), h("span", { class: "soft" }, it.more ?? it.kind));
      line.addEventListener("click", () => take(line.means));
      return line;
    }, (line, it) => {
      line.means = it;
      mark(line, "aria-selected", String(found[at] === it));
    });
    list.children[at]?.scrollIntoView({ block: "nearest" });
    mark(input, "aria-activedescendant", list.children[at]?.id);
  };
  const look = async () => {
    const text = input.value.trim();
    asked?.abort();
    asked = new AbortController();
    found = nearby(pages, text);
    at = 0;
    draw();
    say(told, "Arrows choose, Enter goes there, Escape closes");
    if (text.length < 1) return;
    const mine = asked.signal;
    const more = await Promise.all([far("topics", text, mine), far("sessions", text, mine)]);
    if (mine.aborted) return;
    found = [...found, ...more.flat()];
    draw();
    say(told, found.length === 0 ? "Nothing is called that" : plural(found.length, "match", "matches"));
  };
  input.addEventListener("input", settled(look, 80));
  input.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step !== undefined) {
      event.preventDefault();
      at = (at + step + found.length) % Math.max(1, found.length);
      draw();
    } else if (event.key === "Enter" && found[at] !== undefined) {
      event.preventDefault();
      take(found[at]);
    }
  });
  dialog.addEventListener("close", () => {
    asked?.abort();
    dialog.remove();
  });
  show(dialog);
  input.focus();
  look();
}

/** What is known without asking. */
function nearby(pages, text) {
  const wanted = text.toLowerCase();
  const has = (...names) => names.some((name) => String(name ?? "").toLowerCase().includes(wanted));
  const found = pages.filter((page) => has(page.name)).map((page) => ({ kind: "page", icon: page.key, name: page.name, place: `#/${page.key}` }));
  const nodes = (live.cluster?.nodes ?? []).filter((node) => wanted !== "" && has(node.id, node.address, node.role));
  found.push(...nodes.slice(0, FOUND_EACH).map((node) => ({ kind: "node", icon: "nodes", name: node.id, more: node.address, place: `#/nodes/${encodeURIComponent(node.id)}` })));
  if (/^[0-9a-f]{16}-\d+$/i.test(text)) found.unshift({ kind: "message", icon: "messages", name: text, place: `#/messages/${encodeURIComponent(text)}` });
  return found;
}

/** What the node has by a name that begins so. */
async function far(what, text, signal) {
  const page = await get(path(what) + query({ prefix: text, limit: FOUND_EACH }), signal).catch(() => ({}));
  return (page.items ?? []).slice(0, FOUND_EACH).map((it) => (what === "topics"
    ? { kind: "topic", icon: "topics", name: it.name, more: plural(it.sessions ?? 0, "session"), place: `#/topics/${encodeURIComponent(it.name)}` }
    : { kind: "session", icon: "sessions", name: it.id, more: `${it.transport ? `${transport(it.transport)} on ` : ""}${short(it.node)}`, place: `#/sessions/${encodeURIComponent(it.id)}` }));
}
