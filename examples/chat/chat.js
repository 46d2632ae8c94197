// The chat page. All that is said, and who is there, goes through the room as JSON messages:
//
//   {"type":"hello", from, name, node, at}              somebody came, and would know who else is here
//   {"type":"here",  from, name, node, at}              somebody is here: the answer, and now and then
//   {"type":"say",   from, name, node, at, key, text}   somebody says something
//   {"type":"bye",   from, at}                          somebody left
//
// `from` is the page's own random name for itself, `node` the id of the node that it is connected to.
// A message that is none of these, from a bare WebSocket perhaps, is shown as it is.

import { connect } from "./exosphere.mjs";

const HERE_EVERY_MS = 20_000;
const GONE_AFTER_MS = 90_000;
const LINES_KEPT = 500;
const KEYS_KEPT = 2000;
const OUTBOX_LIMIT = 100;
const PEOPLE_LIMIT = 500;
const ROOMS_KEPT = 12;
const TINTS = 8;

const $ = (id) => document.getElementById(id);
const query = new URLSearchParams(location.search);
const self = { from: randomId(), name: "", node: null };

let room = null;
/** The members of the cluster, as the last node that could be asked knew them. */
let members = [];
/** From the id of a node to the number of its color. */
const tints = new Map();

class Room {
  constructor(name) {
    this.name = name;
    this.people = new Map();
    this.keys = new Set();
    this.opened = false;
    const path = `/chat/${encodeURIComponent(name)}`;
    this.client = connect(endpoints().map((endpoint) => `${location.protocol}//${endpoint}${path}`), {
      // Loaded again, the page goes on where it was.
      persist: `chat ${name}`,
      onState: (state, why) => this.follow(state, why),
      onMove: ({ from, to }) => {
        this.moved = true;
        addNotice(`You were moved from node ${shortId(from)} to ${shortId(to)}`, "moved");
      },
      onGap: () => addNotice("You were behind for too long, and some messages are missing here", "gap"),
      onMessage: (message) => this.receive(typeof message === "string" ? message : `${message.length} bytes`),
      onAckFailed: ({ error }) => {
        if (error !== undefined && room === this) addNotice(`A message was not sent: ${error.message}`, "gap");
      },
    });
    this.timer = setInterval(() => this.tick(), HERE_EVERY_MS);
  }

  get connected() {
    return this.client.state === "connected";
  }

  follow(state, why) {
    if (room !== this) return;
    if (state === "expired" || state === "superseded") {
      addNotice("You were away for too long: what was said meanwhile is not shown", "gap");
      return;
    }
    if (state === "connected") this.open();
    if (state === "closed" && why !== undefined) addNotice(`The node ended it: ${why.message}`, "gap");
    setState(state);
  }

  open() {
    self.node = this.client.node;
    const reopened = this.opened;
    this.opened = true;
    // A move is told right after this.
    queueMicrotask(() => {
      if (reopened && !this.moved) addNotice(`Reconnected to node ${shortId(self.node)}`);
      this.moved = false;
    });
    this.announce(reopened ? "here" : "hello");
    askHome().then(showPeople);
    showPeople();
  }

  /** Says goodbye. The session ends only with the room: a page that is loaded again has it back. */
  part() {
    if (this.connected) this.tell({ type: "bye" });
    clearInterval(this.timer);
    clearTimeout(this.answer);
  }

  leave() {
    this.part();
    this.client.close();
  }

  announce(type) {
    this.tell({ type, name: self.name, node: self.node });
  }

  tell(message) {
    this.client.push(JSON.stringify({ ...message, from: self.from, at: Date.now() }));
  }

  /** Says something: now, or when there is a connection again. It is ours until it comes back from the room. */
  say(text) {
    if (this.client.pending >= OUTBOX_LIMIT) return false;
    const key = randomId();
    const message = { type: "say", name: self.name, node: self.node, key, text };
    addMessage({ ...message, from: self.from, at: Date.now(), pending: true });
    this.tell(message);
    return true;
  }

  receive(text) {
    const message = parse(text);
    if (message === null) {
      addMessage({ from: "", name: "anonymous", node: null, at: Date.now(), text });
      return;
    }
    const mine = message.from === self.from;
    if (message.type === "say") {
      if (this.keys.has(message.key)) return;
      this.remember(message.key);
      if (mine) {
        confirmMessage(message);
        return;
      }
      addMessage(message);
      // Who only speaks, and never says that it is here, cannot be shown as somewhere.
      if (!this.people.has(message.from)) return;
    }
    if (mine) return;
    if (message.type === "bye") {
      this.forget(message.from);
      return;
    }
    this.notice(message);
    if (message.type === "hello") {
      // Not all at once, when there are many.
      this.answer ??= setTimeout(() => {
        this.answer = undefined;
        this.announce("here");
      }, 20 + Math.random() * 10 * this.people.size);
    }
  }

  notice({ type, from, name, node }) {
    const known = this.people.get(from);
    if (known === undefined) {
      if (this.people.size >= PEOPLE_LIMIT) return;
      if (type === "hello") addNotice(`${name} joined on node ${shortId(node)}`);
    } else {
      if (known.name !== name) addNotice(`${known.name} is now ${name}`);
      if (node !== null && known.node !== null && known.node !== node) {
        addNotice(`${name} moved from node ${shortId(known.node)} to ${shortId(node)}`, "moved");
      }
    }
    this.people.set(from, { name, node: node ?? known?.node ?? null, seen: Date.now() });
    showPeople();
  }

  forget(from) {
    const known = this.people.get(from);
    if (known === undefined) return;
    this.people.delete(from);
    addNotice(`${known.name} left`);
    showPeople();
  }

  remember(key) {
    this.keys.add(key);
    if (this.keys.size > KEYS_KEPT) this.keys.delete(this.keys.values().next().value);
  }

  tick() {
    const now = Date.now();
    for (const [from, { seen }] of this.people) {
      // While we are cut off ourselves, nobody's silence means anything.
      if (this.connected && now - seen > GONE_AFTER_MS) this.forget(from);
    }
    if (!this.connected) return;
    this.announce("here");
    askHome().then(showPeople);
  }
}

/** A message of this page's kind, each field checked; null for any other. */
function parse(text) {
  let message;
  try {
    message = JSON.parse(text);
  } catch {
    return null;
  }
  if (message === null || typeof message !== "object") return null;
  const { type, text: said } = message;
  if (!["hello", "here", "say", "bye"].includes(type)) return null;
  const name = cleanName(message.name) || "anonymous";
  const from = isId(message.from) ? message.from : `name ${name}`;
  const node = /^[0-9a-f]{16}$/.test(message.node) ? message.node : null;
  const sane = Number.isFinite(message.at) && Math.abs(Date.now() - message.at) < 86_400_000;
  const at = sane ? message.at : Date.now();
  if (type !== "say") return { type, from, name, node, at };
  if (typeof said !== "string") return null;
  const key = isId(message.key) ? message.key : randomId();
  return { type, from, name, node, at, key, text: said };
}

// Where nodes are

/** The nodes that may be tried: the one that served the page, those that the user named, those that it knows. */
function endpoints() {
  const named = (query.get("peers") ?? "").split(",").map((peer) => peer.trim());
  const known = members.map((member) => member.endpoint);
  return [...new Set([location.host, ...named.filter(isEndpoint), ...known.filter(isEndpoint)])].slice(0, 16);
}

function isEndpoint(text) {
  return typeof text === "string" && /^([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\]):\d{1,5}$/.test(text);
}

/** Asks the node that this page comes from for the cluster's members. */
async function askHome() {
  try {
    const answer = await fetch("/node", { cache: "no-store", signal: AbortSignal.timeout(2000) });
    const node = await answer.json();
    members = node.members.map(({ id, addr, http, this: home }) => ({
      id,
      addr,
      endpoint: home ? location.host : http?.replace(/^https?:\/\//, "").replace(/\/$/, "") ?? null,
    }));
  } catch {
    // As before.
  }
}

function shortId(node) {
  if (node === null) return "unknown";
  return /^[0-9a-f]{16}$/.test(node) ? node.slice(0, 8) : node;
}

function tint(node) {
  if (node === null) return "none";
  if (!tints.has(node)) {
    // From the id, so that pages agree on it; the next that is free, where two nodes would look alike.
    const first = Array.from(node, (letter) => letter.charCodeAt(0)).reduce((sum, code) => (sum * 31 + code) % 65_521, 7);
    const taken = new Set([...tints.values()].slice(-TINTS + 1));
    let color = first % TINTS;
    while (taken.has(color)) color = (color + 1) % TINTS;
    tints.set(node, color);
  }
  return String(tints.get(node));
}

// What is shown

function setState(state) {
  if (state !== "connected" && !navigator.onLine) state = "offline";
  document.body.dataset.state = state;
  document.body.dataset.node = self.node ?? "";
  const said = {
    connecting: "Connecting",
    connected: "",
    reconnecting: "Reconnecting",
    offline: "Offline",
    closed: "Closed",
  }[state];
  const node = state === "connected" ? [make("span", "long", "On node "), nodeTag(self.node)] : [];
  $("status-text").replaceChildren(said, ...node);
}

function showRoom() {
  const { name } = room;
  document.body.dataset.room = name;
  $("room-title").textContent = name;
  $("text").placeholder = `Message #${name}`;
  $("messages").replaceChildren();
  toEnd();
  unseen = 0;
  showTitle();
  const items = rememberRoom(name).map((known) => {
    const link = make("a", "", known);
    link.href = `#${known}`;
    if (known === name) link.setAttribute("aria-current", "page");
    const item = make("li");
    item.append(link);
    return item;
  });
  $("rooms").replaceChildren(...items);
  $("rooms").querySelector("[aria-current]").scrollIntoView({ block: "nearest", inline: "nearest" });
}

function showPeople() {
  if (room === null) return;
  const people = [
    { name: self.name, node: self.node, mine: true },
    ...[...room.people.values()].sort((a, b) => a.name.localeCompare(b.name)),
  ];
  const ids = new Set(members.map((member) => member.id));
  for (const { node } of people) ids.add(node);

  const items = [...ids].filter((id) => id !== null).map((id) => {
    const member = members.find((member) => member.id === id);
    return showNode(id, member, people.filter((person) => person.node === id));
  });
  const nowhere = people.filter((person) => person.node === null);
  if (nowhere.length > 0) items.push(showNode(null, undefined, nowhere));
  $("nodes").replaceChildren(...items);

  const nodes = new Set(people.map((person) => person.node).filter((node) => node !== null)).size;
  const persons = `${people.length} ${people.length === 1 ? "person" : "people"}`;
  $("room-summary").textContent = nodes === 0 ? persons : `${persons} on ${nodes} ${nodes === 1 ? "node" : "nodes"}`;
  $("who-count").textContent = String(people.length);
}

function showNode(id, member, people) {
  const item = make("li", "node");
  item.dataset.node = id ?? "";
  item.dataset.tint = tint(id);
  const mine = id !== null && id === self.node;
  if (mine) item.dataset.mine = "";
  const head = make("div", "node-head");
  head.append(make("h3", "", shortId(id)));
  if (mine) head.append(make("span", "badge", "this page"));
  else if (isEndpoint(member?.endpoint)) {
    const link = make("a", "badge", "open");
    link.href = `${location.protocol}//${member.endpoint}/#${room.name}`;
    link.rel = "noopener";
    link.target = "_blank";
    link.setAttribute("aria-label", `Open this room on node ${shortId(id)}`);
    head.append(link);
  }
  item.append(head);
  if (member !== undefined) item.append(make("p", "addr", member.addr));
  const list = make("ul", "people");
  for (const person of people) {
    const entry = make("li", "person");
    entry.append(avatar(person.name, id), make("span", "person-name", person.name));
    if (person.mine) entry.append(make("span", "you", "you"));
    list.append(entry);
  }
  if (people.length === 0) list.append(make("li", "nobody", "nobody from this room"));
  item.append(list);
  return item;
}

function addMessage({ from, name, node, at, key, text, pending }) {
  const last = $("messages").lastElementChild;
  const time = new Date(at);
  const again =
    last?.dataset.from === from && last.dataset.name === name && last.dataset.node === (node ?? "") &&
    at - Number(last.dataset.at) < 180_000;
  const item = make("li", again ? "message again" : "message");
  Object.assign(item.dataset, { from, name, node: node ?? "", at: String(at) });
  if (key) item.dataset.key = key;
  if (from === self.from) item.dataset.mine = "";
  if (pending) item.dataset.pending = "";

  const clock = make("time", "", time.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }));
  clock.dateTime = time.toISOString();
  clock.title = time.toLocaleString();
  const meta = make("p", "meta");
  meta.append(make("b", "name", name));
  if (node !== null) meta.append(nodeTag(node));
  meta.append(clock);
  const body = make("div", "body");
  body.append(meta, make("p", "text", text));
  item.append(avatar(name, node), body);
  addLine(item, from === self.from);
  if (from !== self.from && document.hidden) {
    unseen += 1;
    showTitle();
  }
}

/** A message of ours came back from the room: everybody has it, from the node that it says. */
function confirmMessage({ key, node }) {
  const item = [...$("messages").querySelectorAll("[data-pending]")].find((item) => item.dataset.key === key);
  if (item === undefined) return;
  delete item.dataset.pending;
  item.dataset.node = node ?? "";
  item.querySelector(".tag")?.replaceWith(nodeTag(node));
  item.querySelector(".avatar").dataset.tint = tint(node);
  if (item.previousElementSibling?.dataset.node !== item.dataset.node) item.classList.remove("again");
}

function addNotice(text, kind = "") {
  addLine(make("li", `notice ${kind}`.trim(), text), false);
}

function addLine(item, follow) {
  const list = $("messages");
  list.append(item);
  while (list.children.length > LINES_KEPT) list.firstElementChild.remove();
  if (atEnd || follow) toEnd();
  else if (item.classList.contains("message")) $("newer").hidden = false;
}

function toEnd() {
  $("scroll").scrollTop = $("scroll").scrollHeight;
  $("newer").hidden = true;
  atEnd = true;
}

/** Whether the end of the conversation is in view; then it stays so, whatever comes. */
let atEnd = true;

let unseen = 0;

function showTitle() {
  document.title = `${unseen > 0 ? `(${unseen}) ` : ""}#${room.name} - exosphere chat`;
}

function nodeTag(node) {
  const tag = make("span", "tag", shortId(node));
  tag.dataset.tint = tint(node);
  if (node !== null) tag.title = `Node ${node}`;
  return tag;
}

function avatar(name, node) {
  const words = name.trim().split(/[\s_-]+/).filter(Boolean);
  const letters = words.slice(0, 2).map((word) => Array.from(word)[0]).join("");
  const picture = make("span", "avatar", (letters || "?").toUpperCase());
  picture.dataset.tint = tint(node);
  picture.setAttribute("aria-hidden", "true");
  return picture;
}

function make(tag, className = "", text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

// Names

function randomId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function isId(text) {
  return typeof text === "string" && /^[A-Za-z0-9_-]{1,64}$/.test(text);
}

function cleanName(text) {
  if (typeof text !== "string") return "";
  return Array.from(text.replace(/\p{C}+/gu, " ").replace(/\s+/g, " ").trim()).slice(0, 32).join("");
}

function cleanRoom(text) {
  return (text ?? "").trim().toLowerCase().replace(/^#/, "").replace(/\s+/g, "-").replace(/[^a-z0-9_-]/g, "").slice(0, 40);
}

function inventName() {
  const pick = (words) => words[Math.floor(Math.random() * words.length)];
  const kind = pick(["Amber", "Brisk", "Calm", "Clear", "Early", "Gentle", "Quiet", "Silver", "Swift", "Violet"]);
  return `${kind} ${pick(["Crane", "Curlew", "Falcon", "Heron", "Kestrel", "Lark", "Osprey", "Plover", "Swift", "Tern"])}`;
}

// Storage may be forbidden; then this page remembers nothing.
function recall(key) {
  try {
    return localStorage.getItem(`exosphere.chat.${key}`);
  } catch {
    return null;
  }
}

function keep(key, value) {
  try {
    localStorage.setItem(`exosphere.chat.${key}`, value);
  } catch {
    // Not kept.
  }
}

/** The rooms to choose from, in a fixed order, this one among them. */
function rememberRoom(name) {
  const known = (recall("rooms") ?? "").split(" ").map(cleanRoom).filter(Boolean);
  const recent = [name, ...known.filter((other) => other !== name && other !== "lobby")].slice(0, ROOMS_KEPT);
  keep("rooms", recent.join(" "));
  return ["lobby", ...recent.filter((other) => other !== "lobby").sort()];
}

// What the user does

function enter(name) {
  if (room?.name === name) return;
  room?.leave();
  setState("connecting");
  room = new Room(name);
  showRoom();
  showPeople();
}

function followHash() {
  enter(cleanRoom(decodeHash()) || cleanRoom(query.get("room")) || "lobby");
}

function decodeHash() {
  try {
    return decodeURIComponent(location.hash);
  } catch {
    return "";
  }
}

function setName(text) {
  const name = cleanName(text) || self.name;
  $("name").value = name;
  if (name === self.name) return;
  self.name = name;
  keep("name", name);
  if (room?.connected) room.announce("here");
  showPeople();
}

function fitText() {
  const field = $("text");
  field.style.height = "auto";
  field.style.height = `${field.scrollHeight + 2}px`;
}

function showWho(open) {
  document.body.classList.toggle("who-open", open);
  $("who-button").setAttribute("aria-expanded", String(open));
}

$("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  const field = $("text");
  const text = field.value.replace(/\s+$/, "");
  if (text !== "" && room.say(text)) {
    field.value = "";
    fitText();
  }
  field.focus();
});

$("text").addEventListener("keydown", (event) => {
  // Enter that ends the composition of a character is not for us.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  $("composer").requestSubmit();
});

$("text").addEventListener("input", fitText);

$("room-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const name = cleanRoom($("room").value);
  $("room").value = "";
  if (name === "") return;
  location.hash = name;
  $("text").focus();
});

$("name-form").addEventListener("submit", (event) => {
  event.preventDefault();
  setName($("name").value);
  showWho(false);
  $("text").focus();
});

$("name").addEventListener("change", () => setName($("name").value));
$("skip").addEventListener("click", () => $("text").focus());
$("newer").addEventListener("click", toEnd);
$("who-button").addEventListener("click", () => showWho(!document.body.classList.contains("who-open")));

$("scroll").addEventListener("scroll", () => {
  const scroll = $("scroll");
  atEnd = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 60;
  if (atEnd) $("newer").hidden = true;
});

new ResizeObserver(() => {
  if (atEnd) toEnd();
}).observe($("scroll"));

addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || !document.body.classList.contains("who-open")) return;
  showWho(false);
  $("who-button").focus();
});

addEventListener("click", (event) => {
  if (!event.target.closest("#who, #who-button")) showWho(false);
});

addEventListener("hashchange", followHash);
addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  unseen = 0;
  showTitle();
});
addEventListener("pagehide", () => room.part());
addEventListener("pageshow", (event) => {
  // Kept by the browser while others were looked at, it has parted.
  if (event.persisted) location.reload();
});

self.name = cleanName(query.get("name")) || cleanName(recall("name")) || inventName();
$("name").value = self.name;
followHash();
