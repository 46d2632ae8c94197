// What pages are made of: panels, tables, figures, dialogs, and forms that say what became of them.

import { Problem } from "./api.js";
import { fill, h, icon, keep, mark, say } from "./dom.js";
import { plural, short, time, value, words } from "./format.js";
import { may, refresh } from "./live.js";

let numbered = 0;

export function fresh(prefix) {
  numbered += 1;
  return `${prefix}-${numbered}`;
}

/** A part of a page with a heading, and a line that says what is wrong with it. */
export function panel(title, facts = {}, ...children) {
  const id = fresh("panel");
  const notice = h("p", { class: "notice", role: "status", hidden: true });
  const tools = h("div", { class: "panel-tools" }, facts.tools ?? []);
  const head = h("header", { class: "panel-head" },
    h("h2", { id }, title), facts.note === undefined ? null : h("p", { class: "soft" }, facts.note), tools);
  const body = h("div", { class: "panel-body" }, children);
  const element = h("section", { class: `panel ${facts.class ?? ""}`, "aria-labelledby": id }, head, notice, body);
  return { element, body, tools, notice: (text, kind) => showNotice(notice, text, kind) };
}

function showNotice(notice, text, kind = "quiet") {
  notice.hidden = text === null;
  notice.className = `notice ${kind}`;
  say(notice, text ?? "");
}

/** What to say of a problem with reading. */
export function excuse(problem) {
  if (problem.isAbsent) return "This node has nothing to tell about that.";
  if (problem.isSilence) return "No answer. What is shown is from before; trying again.";
  if (problem.status === 403) return "Your token does not let you read that.";
  return problem.message;
}

/**
 * Reads something again and again until `signal` is aborted, and shows it in a panel, which says so
 * quietly if there is nothing to read. Returns a function that reads at once.
 */
export function poll(signal, where, read, show, everyMs = 2_000) {
  let timer = null;
  let running = null;
  const turn = async () => {
    clearTimeout(timer);
    const mine = Symbol("turn");
    running = mine;
    let next = everyMs;
    try {
      const told = await read(signal);
      if (signal.aborted || running !== mine) return;
      where?.notice(null);
      show(told);
    } catch (error) {
      if (signal.aborted || running !== mine) return;
      if (!(error instanceof Problem)) throw error;
      where?.notice(excuse(error));
      if (error.isAbsent) next = Math.max(everyMs, 10_000);
    }
    if (Number.isFinite(everyMs)) timer = setTimeout(turn, document.hidden ? next * 4 : next);
  };
  signal.addEventListener("abort", () => clearTimeout(timer));
  turn();
  return turn;
}

/**
 * A table. A column is `{ name, text(row), draw?(row), kind?, hideable? }`: `text` says what is shown, and is
 * what tells whether a cell must be drawn again. With `cards`, rows are cards on a narrow screen. Roles are said
 * since what is laid out otherwise than as a table would lose them.
 */
export function table(caption, columns, keyOf, facts = {}) {
  const body = h("tbody", { role: "rowgroup" });
  const heads = columns.map((column) => h("th", { scope: "col", role: "columnheader", class: classes(column) }, column.name === "" ? h("span", { class: "hidden" }, "Actions") : column.name));
  const empty = h("p", { class: "empty", hidden: true }, facts.empty ?? "Nothing here.");
  const scroll = h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption },
    h("table", { role: "table" }, h("caption", { class: "hidden" }, caption), h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, heads)), body));
  const element = h("div", { class: facts.cards ? "table cards" : "table" }, scroll, empty);
  const update = (rows) => {
    keep(body, rows, keyOf, () => h("tr", { role: "row" }, columns.map((column, n) => h(n === 0 ? "th" : "td", { class: classes(column), scope: n === 0 ? "row" : null, role: n === 0 ? "rowheader" : "cell", "data-name": column.name }))), (line, row) => {
      mark(line, "data-state", facts.state?.(row));
      columns.forEach((column, n) => {
        const cell = line.children[n];
        const text = String(column.text(row) ?? "");
        if (cell.shown === text) return;
        cell.shown = text;
        if (column.draw === undefined) say(cell, text);
        else fill(cell, column.draw(row));
      });
    });
    empty.hidden = rows.length > 0;
    scroll.hidden = rows.length === 0;
  };
  return { element, update };
}

function classes(column) {
  return [column.kind, column.hideable ? "hideable" : null].filter(Boolean).join(" ") || null;
}

/** Buttons that go through the pages of a list of `things`; `change` is called when another is wanted. */
export function pager(things, change) {
  const starts = [null];
  const told = h("p", { class: "soft", role: "status" });
  const button = (name, where) => h("button", { type: "button", class: "small", on: { click: () => go(where) }, "aria-keyshortcuts": where < 0 ? "[" : "]" }, name);
  const [back, on] = [button("Previous", -1), button("Next", 1)];
  let next = null;
  const element = h("nav", { class: "pager", "aria-label": `Pages of ${things}` }, told, back, on);
  const go = (where) => {
    if (where < 0 && starts.length > 1) starts.pop();
    else if (where > 0 && next !== null) starts.push(next);
    else return;
    change();
  };
  element.addEventListener("turn", (event) => go(event.detail));
  return {
    element,
    get after() {
      return starts.at(-1);
    },
    begin: () => starts.splice(1),
    update(page, one, many) {
      next = page.next ?? null;
      const total = page.total ?? page.items.length;
      say(told, total > page.items.length ? `${page.items.length} of ${plural(total, one, many)}, page ${starts.length}` : plural(total, one, many));
      back.disabled = starts.length === 1;
      on.disabled = next === null;
      back.hidden = on.hidden = starts.length === 1 && next === null;
    },
  };
}

/** What a thing is: names and values, with what lies within them below. Names may be chosen. */
export function facts(told, leave = []) {
  const lines = Object.entries(told ?? {}).filter(([key]) => !leave.includes(key));
  if (lines.length === 0) return h("p", { class: "empty" }, "Nothing.");
  return h("dl", { class: "facts" }, lines.map(([key, it]) => h("div", { class: isPlain(it) ? null : "deep" }, h("dt", {}, words(key)), h("dd", {}, fact(key, it)))));
}

function isPlain(it) {
  return it === null || typeof it !== "object" || (Array.isArray(it) ? it.every((one) => one === null || typeof one !== "object") : Object.keys(it).length === 0);
}

function fact(key, it) {
  if (Array.isArray(it)) {
    if (it.length === 0) return "none";
    if (isRows(it)) return rows(key, it);
    return h("ul", { class: isPlain(it) ? "chips" : "inner" }, it.map((one) => h("li", {}, isPlain(one) ? value(key, one) : facts(one))));
  }
  if (it !== null && typeof it === "object") return Object.keys(it).length === 0 ? "none" : facts(it);
  return value(key, it);
}

/** Things that are told the same of, each a few plain values. */
function isRows(it) {
  const names = (one) => Object.keys(one ?? {}).join();
  return it.every((one) => one !== null && typeof one === "object" && !Array.isArray(one) && names(one) === names(it[0]) && Object.values(one).every((part) => part === null || typeof part !== "object"))
    && Object.keys(it[0]).length <= 5;
}

function rows(title, it) {
  const names = Object.keys(it[0]);
  return h("div", { class: "scroll-inner", tabindex: 0, role: "region", "aria-label": words(title) }, h("table", {}, h("caption", { class: "hidden" }, words(title)),
    h("thead", {}, h("tr", {}, names.map((name) => h("th", { scope: "col" }, words(name))))),
    h("tbody", {}, it.map((one) => h("tr", {}, names.map((name, n) => h(n === 0 ? "th" : "td", { scope: n === 0 ? "row" : null }, value(name, one[name]))))))));
}

/** Replaces what a panel shows, but only if it would be something else. */
export function showOnce(body, told, draw) {
  const text = JSON.stringify(told);
  if (body.told === text) return;
  body.told = text;
  fill(body, draw(told));
}

export function badge(state, text = words(state)) {
  return h("span", { class: "badge", "data-state": state }, text);
}

export function link(page, id, text, facts = {}) {
  return h("a", { href: `#/${page}/${encodeURIComponent(id)}`, ...facts }, text ?? id);
}

export const nodeLink = (id) => (id === null || id === undefined ? "\u2013" : link("nodes", id, short(id), { class: "mono", title: id }));
/** A topic of a single session has a name that begins with `~`, and no page. */
export const topicLink = (name) => (name.startsWith("~") ? h("span", { class: "name" }, name) : link("topics", name, name, { class: "name" }));
export const sessionLink = (id, whole = false) => link("sessions", id, whole ? id : short(id), { class: "mono", title: id });

export function messageLink(id, session) {
  const more = session === undefined ? "" : `?session=${encodeURIComponent(session)}`;
  return h("a", { href: `#/messages/${encodeURIComponent(id)}${more}`, class: "mono", title: id }, id);
}

export function when(at, precise) {
  return h("time", { datetime: Number.isFinite(at) ? new Date(at).toISOString() : null, class: "mono" }, time(at, precise));
}

/** The head of a page. */
export function head(title, facts = {}) {
  return h("header", { class: "page-head" },
    h("div", {}, h("h1", { tabindex: -1, class: facts.mono ? "mono" : null }, title), facts.note ?? null),
    h("div", { class: "page-tools" }, facts.tools ?? []));
}

/** A figure with its name, and a place for a line of it over time. */
export function figure(name, facts = {}) {
  const number = h("p", { class: "figure-value" }, "\u2013");
  const note = h("p", { class: "figure-note" });
  const element = h("div", { class: "figure", "data-kind": facts.kind }, h("h2", {}, name), number, note, facts.line ?? null);
  return {
    element,
    update(text, more = "", state = null) {
      say(number, text);
      say(note, more);
      mark(element, "data-state", state);
    },
  };
}

/** Says something in a corner, for a while. */
export function toast(text, kind = "good") {
  const element = h("p", { class: `toast ${kind}` }, icon(kind === "bad" ? "warn" : "check"), h("span", {}, text));
  document.getElementById("toasts").append(element);
  setTimeout(() => element.remove(), kind === "bad" ? 9_000 : 5_000);
}

/**
 * Asks before something is done that hurts, and does it: the dialog names what will happen, and stays
 * with the reason if it was not done. Resolves to `{ problem: null, told }` once it was done, or to null.
 */
export function confirm({ title, says, action, run, done }) {
  const [id, text] = [fresh("dialog"), fresh("dialog-text")];
  const error = h("p", { class: "error", role: "alert" });
  const stop = h("button", { type: "button", autofocus: true }, "Cancel");
  const go = h("button", { type: "button", class: "danger" }, action);
  const lines = [says].flat(Infinity).filter(Boolean);
  const dialog = h("dialog", { "aria-labelledby": id, "aria-describedby": text, class: "confirm" },
    h("h2", { id }, title), h("div", { id: text }, lines.map((line) => (line instanceof Node ? line : h("p", {}, line)))), error, h("div", { class: "dialog-tools" }, stop, go));
  return new Promise((resolve) => {
    let step = null;
    stop.addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(step);
    });
    go.addEventListener("click", async () => {
      const { problem, told } = await busy(go, run);
      if (problem === null) {
        step = { problem, told };
        report(told, done ?? `${title.replace(/\?$/, "")}: done`);
        dialog.close();
      } else {
        say(error, problem.message);
      }
    });
    show(dialog);
  });
}

/** Opens a dialog, which gives the focus back to where it was. */
export function show(dialog) {
  document.body.append(dialog);
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  dialog.showModal();
}

async function busy(button, run) {
  mark(button, "aria-busy", true);
  button.disabled = true;
  try {
    const told = await run();
    refresh();
    return { problem: null, told };
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    return { problem };
  } finally {
    mark(button, "aria-busy", null);
    button.disabled = false;
  }
}

/** Says what was done; of what each node did for itself, who did not. */
function report(told, done) {
  const failed = (told?.nodes ?? []).filter((node) => node.ok === false);
  if (failed.length === 0) {
    toast(done);
    return;
  }
  const names = failed.map((node) => `${short(node.id)}: ${node.error ?? "refused"}`).join("; ");
  toast(`${done}, but not by ${failed.length} of ${told.nodes.length} nodes. ${names}`, "bad");
}

/** A button that does something at once, if the role may; otherwise nothing. */
export function act(name, role, run, facts = {}) {
  if (!may(role)) return null;
  const button = h("button", { type: "button", class: facts.class ?? "small", "aria-label": facts.label }, facts.icon ? icon(facts.icon) : null, facts.icon && facts.label ? null : name);
  button.addEventListener("click", async () => {
    if (facts.confirm !== undefined) {
      const step = await confirm({ action: name, run, ...facts.confirm });
      if (step !== null) facts.then?.(step.told);
      return;
    }
    const { problem, told } = await busy(button, run);
    if (problem === null) {
      report(told, facts.done ?? `${name}: done`);
      facts.then?.(told);
    } else {
      toast(`${name}: ${problem.message}`, "bad");
    }
  });
  return button;
}

/**
 * A form that does something if the role may, and says below itself what became of it.
 * `fields` are made by `field`; `run` is given their values by name.
 */
export function form(label, role, fields, action, run, facts = {}) {
  if (!may(role)) return null;
  const output = h("output", { class: "outcome" });
  const button = h("button", { type: "submit", class: facts.class ?? "primary" }, action);
  const element = h("form", { class: `form ${facts.kind ?? ""}`, "aria-label": label, autocomplete: "off" }, fields, h("div", { class: "form-foot" }, button, output));
  element.addEventListener("submit", async (event) => {
    event.preventDefault();
    const values = Object.fromEntries(new FormData(element));
    let step;
    if (facts.confirm === undefined) {
      step = await busy(button, () => run(values));
    } else {
      const asked = facts.confirm(values);
      step = await confirm({ action, run: () => run(values), ...asked });
      if (step === null) return;
    }
    output.className = `outcome ${step.problem === null ? "good" : "bad"}`;
    if (step.problem !== null) {
      say(output, step.problem.message);
      return;
    }
    const failed = (step.told?.nodes ?? []).filter((node) => node.ok === false);
    if (failed.length > 0) output.className = "outcome bad";
    say(output, failed.length > 0 ? failed.map((node) => `${short(node.id)}: ${node.error ?? "refused"}`).join("; ") : typeof facts.done === "function" ? facts.done(values, step.told) : (facts.done ?? "Done."));
    if (facts.reset) element.reset();
    facts.then?.(step.told, values);
  });
  return element;
}

/** A field with its label. */
export function field(name, label, facts = {}) {
  const id = fresh("field");
  const { kind = "text", options, note, wide, ...rest } = facts;
  const noteId = note === undefined ? null : fresh("note");
  const common = { id, name, "aria-describedby": noteId, ...rest };
  let input;
  if (kind === "area") input = h("textarea", { rows: 3, spellcheck: "false", ...common });
  else if (kind === "select") input = h("select", common, options.map(([key, text]) => h("option", { value: key }, text)));
  else input = h("input", { type: kind, spellcheck: "false", autocapitalize: "none", ...common });
  if (kind === "select" && rest.value !== undefined) input.value = rest.value;
  return h("div", { class: wide ? "field wide" : "field" }, h("label", { for: id }, label), input, note === undefined ? null : h("p", { class: "field-note", id: noteId }, note));
}

/** Ids that a person wrote, however they are parted. */
export function ids(text) {
  return String(text ?? "").split(/[\s,;]+/).filter(Boolean);
}

/** Waits until a person has stopped typing. */
export function settled(run, ms = 250) {
  let timer = null;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(run, ms);
  };
}
