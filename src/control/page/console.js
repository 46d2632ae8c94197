// Tower Control, the page: who may see it, where one is in it, and what holds for all of its parts.

import { findToken, get, path, Problem, setToken, whenRefused } from "./api.js";
import { audit } from "./audit.js";
import { configuration } from "./configuration.js";
import { fill, h, icon, mark, planet, say } from "./dom.js";
import { spoken } from "./events.js";
import { ago, number, short } from "./format.js";
import { licence } from "./licence.js";
import { begin, end, live, watch } from "./live.js";
import { messages } from "./messages.js";
import { node, nodes } from "./nodes.js";
import { overview } from "./overview.js";
import { fresh, show } from "./parts.js";
import { search } from "./search.js";
import { session, sessions } from "./sessions.js";
import { statistics } from "./statistics.js";
import { topic, topics } from "./topics.js";

const PAGES = [
  { key: "overview", name: "Overview", keys: "g o", all: overview },
  { key: "nodes", name: "Nodes", keys: "g n", all: nodes, one: node, count: () => live.cluster?.nodes.length },
  { key: "topics", name: "Topics", keys: "g t", all: topics, one: topic, count: () => live.cluster?.topics },
  { key: "sessions", name: "Sessions", keys: "g s", all: sessions, one: session, count: () => live.cluster?.sessions },
  { key: "messages", name: "Messages", keys: "g m", all: messages, one: messages },
  { key: "statistics", name: "Statistics", keys: "g c", all: statistics },
  { key: "configuration", name: "Configuration", keys: "g f", all: configuration },
  { key: "licence", name: "Licence", keys: "g l", all: licence },
  { key: "audit", name: "Audit", keys: "g a", all: audit },
];
const THEMES = [["auto", "as the system"], ["light", "light"], ["dark", "dark"]];
const THEME_KEY = "exosphere.control.theme";

const $ = (id) => document.getElementById(id);
/** Whether a shortcut of two keys has begun, and ends when it is aborted: the page that is shown. */
let leading = false;
let shown = new AbortController();
let shownAt = null;
let whole = null;

start();

function start() {
  dressUp();
  listen();
  whenRefused(() => signOut("This token is not, or no longer, taken."));
  if (findToken() === null) signIn("");
  else enter();
}

function dressUp() {
  for (const id of ["mark", "sign-in-mark"]) fill($(id), planet());
  fill($("menu"), icon("menu"));
  fill($("help-button"), icon("keys"));
  fill($("sign-out"), icon("out"));
  $("search-button").prepend(icon("search"));
  setTheme(localStorage.getItem(THEME_KEY) ?? "auto");
  fill($("nav-list"), PAGES.map((page) => h("li", {}, h("a", { href: `#/${page.key}`, "data-page": page.key }, icon(page.key), h("span", {}, page.name), page.count === undefined ? null : h("span", { class: "count", "aria-hidden": "true" })))));
}

// Who may see it

async function enter() {
  try {
    live.who = { ...live.who, ...(await get(path("whoami"))) };
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    if (problem.status === 401) return;
    if (!problem.isAbsent) {
      say($("pulse-text"), "No answer");
      signIn(problem.isSilence ? "The node does not answer. Trying again helps once it does." : problem.message);
      return;
    }
  }
  $("sign-in").hidden = true;
  $("shell").hidden = false;
  say($("whoami"), `${live.who.name ?? "Signed in"}, ${live.who.role}`);
  whole?.abort();
  whole = new AbortController();
  watch(whole.signal, follow);
  begin();
  route();
}

function signOut(why) {
  setToken(null);
  signIn(why);
}

/** Asks for a token; the one that there is, if there is one, is as good as before. */
function signIn(why) {
  end();
  whole?.abort();
  leavePage();
  $("shell").hidden = true;
  $("sign-in").hidden = false;
  document.title = "Sign in - Tower Control";
  say($("sign-in-error"), why);
  $("token").value = findToken() ?? "";
  $("token").focus();
}

// Where one is

function leavePage() {
  shown.abort();
  shown = new AbortController();
  shownAt = null;
}

function place() {
  const [where, asked = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [key, ...rest] = where.split("/");
  const page = PAGES.find((it) => it.key === key) ?? PAGES[0];
  let id = rest.join("/");
  try {
    id = decodeURIComponent(id);
  } catch {
    // It is shown as it was written.
  }
  return { page, id, search: new URLSearchParams(asked) };
}

function route() {
  if ($("shell").hidden || shownAt === location.hash) return;
  const isFirst = shownAt === null;
  leavePage();
  shownAt = location.hash;
  const { page, id, search } = place();
  const make = id !== "" && page.one !== undefined ? page.one : page.all;
  const setSearch = (facts, anew = false) => {
    const given = Object.entries(facts).filter(([, value]) => value !== "");
    const text = new URLSearchParams(given).toString();
    const next = `#/${page.key}${id === "" ? "" : `/${encodeURIComponent(id)}`}${text === "" ? "" : `?${text}`}`;
    history.replaceState(null, "", next);
    if (!anew) shownAt = next;
    else route();
  };
  const made = make({ signal: shown.signal, id, search, setSearch, leave: go });
  fill($("main"), made.element);
  mark($("main"), "data-page", page.key);
  document.title = `${made.title} - Tower Control`;
  fill($("crumbs"), id === "" ? h("span", {}, page.name) : [h("a", { href: `#/${page.key}` }, page.name), h("span", { class: "mono crumb-last" }, id)]);
  for (const link of document.querySelectorAll("[data-page]")) if (link.tagName === "A") mark(link, "aria-current", link.dataset.page === page.key ? "page" : null);
  closeMenu();
  if (!isFirst) {
    $("main").querySelector("h1")?.focus({ preventScroll: true });
    scrollTo(0, 0);
  }
}

function go(hash) {
  location.hash = hash;
}

// What holds for all pages

function follow(what, event) {
  if (what === "event" && /^node\./.test(event.type)) say($("told"), spoken(event));
  if (what === "cluster") {
    for (const page of PAGES) {
      if (page.count === undefined) continue;
      const count = page.count();
      say(document.querySelector(`[data-page="${page.key}"] .count`), count === undefined || count === null ? "" : number(count));
    }
    const name = live.cluster.cluster ?? live.cluster.name;
    if (name) say($("brand-cluster"), name);
  }
  showPulse();
}

function showPulse() {
  const lost = live.state === "lost";
  const silent = lost && live.problem?.isSilence;
  mark($("pulse"), "data-state", live.state);
  say($("pulse-text"), lost ? "Not connected" : live.state === "live" ? "Live" : "Connecting");
  $("banner").hidden = !lost;
  mark(document.body, "data-lost", lost ? true : null);
  if (!lost) return;
  const about = live.who.node ? `Node ${short(live.who.node)}, which serves this page,` : "The node that serves this page";
  const heard = live.heardAt === 0 ? "" : ` What is shown is from ${ago(live.heardAt)}.`;
  fill($("banner"), icon("warn"), h("p", {}, silent ? `${about} does not answer. Trying again each second.` : `${about} cannot tell of the cluster: ${live.problem.message}`, h("span", { "aria-hidden": "true" }, heard)));
}

function setTheme(theme) {
  const at = Math.max(0, THEMES.findIndex(([key]) => key === theme));
  const [key, name] = THEMES[at];
  mark(document.documentElement, "data-theme", key === "auto" ? null : key);
  localStorage.setItem(THEME_KEY, key);
  fill($("theme"), icon({ auto: "auto", light: "sun", dark: "moon" }[key]));
  mark($("theme"), "aria-label", `Theme: ${name}`);
  mark($("theme"), "title", `Theme: ${name}`);
}

function nextTheme() {
  const at = THEMES.findIndex(([key]) => key === (localStorage.getItem(THEME_KEY) ?? "auto"));
  setTheme(THEMES[(at + 1) % THEMES.length][0]);
  say($("told"), $("theme").getAttribute("aria-label"));
}

function closeMenu() {
  mark(document.body, "data-menu", null);
  mark($("menu"), "aria-expanded", "false");
}

function help() {
  if (document.querySelector("dialog.help") !== null) return;
  const id = fresh("help");
  const keys = [["/", "Search, also Ctrl K"], ["f", "To the filter of this list"], ["[ ]", "Previous, next page of the list"], ["t", "Light, dark, or as the system"], ["?", "This help"], ["Esc", "Close a dialog"], ...PAGES.map((page) => [page.keys, page.name])];
  const close = h("button", { type: "button", autofocus: true }, "Close");
  const dialog = h("dialog", { class: "help", "aria-labelledby": id }, h("h2", { id }, "Keyboard"), h("dl", { class: "keys" }, keys.map(([key, name]) => h("div", {}, h("dt", {}, key.split(" ").map((one) => h("kbd", {}, one))), h("dd", {}, name)))), h("div", { class: "dialog-tools" }, close));
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => dialog.remove());
  show(dialog);
}

const KEYS = {
  "/": () => find(),
  "?": help,
  t: nextTheme,
  f: () => $("main").querySelector("[data-filter]")?.focus(),
  "[": () => turn(-1),
  "]": () => turn(1),
};

function find() {
  search(PAGES, go);
}

function turn(where) {
  $("main").querySelector(".pager")?.dispatchEvent(new CustomEvent("turn", { detail: where }));
}

function listen() {
  addEventListener("hashchange", route);
  $("skip").addEventListener("click", (event) => {
    event.preventDefault();
    $("main").focus();
  });
  $("sign-in-form").addEventListener("submit", (event) => {
    event.preventDefault();
    setToken($("token").value.trim());
    enter();
  });
  $("sign-out").addEventListener("click", () => signOut(""));
  $("theme").addEventListener("click", nextTheme);
  $("help-button").addEventListener("click", help);
  $("search-button").addEventListener("click", find);
  $("menu").addEventListener("click", () => {
    const open = document.body.dataset.menu === undefined;
    mark(document.body, "data-menu", open ? true : null);
    mark($("menu"), "aria-expanded", String(open));
  });
  document.querySelector(".content").addEventListener("click", closeMenu);
  addEventListener("keydown", press);
  setInterval(() => {
    if (!$("shell").hidden) showPulse();
  }, 1_000);
}

function press(event) {
  if (event.key === "Escape") closeMenu();
  if ($("shell").hidden || document.querySelector("dialog[open]") !== null) return;
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
    event.preventDefault();
    find();
    return;
  }
  const typing = event.target.closest?.("input, textarea, select") !== null && event.target.closest !== undefined;
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  if (leading) {
    leading = false;
    const page = PAGES.find((it) => it.keys === `g ${event.key}`);
    if (page !== undefined) {
      event.preventDefault();
      go(`#/${page.key}`);
    }
    return;
  }
  if (event.key === "g") {
    leading = true;
    setTimeout(() => {
      leading = false;
    }, 1_200);
    return;
  }
  const run = KEYS[event.key];
  if (run === undefined) return;
  event.preventDefault();
  run();
}
