// What a node is asked, and what it answers.

const KEY = "exosphere.control.token";
const PATIENCE_MS = 5_000;

/** Why something was not done, as the node says (RFC 9457), or that there was no answer. */
export class Problem extends Error {
  constructor(status, title, detail) {
    super(detail || title);
    this.status = status;
    this.title = title;
  }

  /** Nobody answered. */
  get isSilence() {
    return this.status === 0;
  }

  /** The node does not have that, or not yet. */
  get isAbsent() {
    return this.status === 404 || this.status === 405 || this.status === 501;
  }
}

let token = null;
let refused = () => {};

/** Takes the token out of the address, where it has no reason to stay; or else the one of before. */
export function findToken() {
  const url = new URL(location.href);
  const given = url.searchParams.get("token");
  if (given !== null) {
    url.searchParams.delete("token");
    history.replaceState(null, "", url.pathname + url.search + url.hash);
    setToken(given);
  }
  token ??= sessionStorage.getItem(KEY);
  return token;
}

export function setToken(given) {
  token = given;
  if (given === null) sessionStorage.removeItem(KEY);
  else sessionStorage.setItem(KEY, given);
}

/** Has `listen` told when a node does not take the token. */
export function whenRefused(listen) {
  refused = listen;
}

/** Where something is: what is in the parts becomes part of no path but its own. */
export function path(...parts) {
  return `/api/v1/${parts.map((part) => encodeURIComponent(part)).join("/")}`;
}

export function query(facts) {
  const given = Object.entries(facts).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const text = new URLSearchParams(given).toString();
  return text === "" ? "" : `?${text}`;
}

export const get = (where, signal) => ask("GET", where, undefined, signal);
export const post = (where, body = {}) => ask("POST", where, body);
export const put = (where, body = {}) => ask("PUT", where, body);
export const patch = (where, body) => ask("PATCH", where, body);
export const remove = (where) => ask("DELETE", where);

async function ask(method, where, body, signal) {
  const timeout = AbortSignal.timeout(PATIENCE_MS);
  const headers = { Authorization: `Bearer ${token}`, Accept: "application/json" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let answer;
  let text;
  try {
    answer = await fetch(where, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: signal === undefined ? timeout : AbortSignal.any([signal, timeout]),
      cache: "no-store",
      credentials: "omit",
    });
    text = await answer.text();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Problem(0, "No answer", "The node does not answer.");
  }
  const told = parse(text);
  if (answer.ok) return told;
  if (answer.status === 401) refused();
  throw new Problem(answer.status, told?.title ?? answer.statusText, told?.detail ?? told?.title ?? `The node answered ${answer.status}.`);
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/**
 * Reads what happens until `signal` is aborted or the stream ends. By `fetch`, since an `EventSource`
 * could not show the token.
 */
export async function follow(where, after, signal, onOpen, onEvent) {
  const headers = { Authorization: `Bearer ${token}`, Accept: "text/event-stream" };
  if (after !== null) headers["Last-Event-ID"] = after;
  const answer = await fetch(where, { headers, signal, cache: "no-store", credentials: "omit" });
  if (answer.status === 401) refused();
  if (!answer.ok) throw new Problem(answer.status, answer.statusText, "");
  onOpen();
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split(/\r?\n\r?\n/);
    rest = blocks.pop();
    for (const block of blocks) tell(block, onEvent);
  }
}

function tell(block, onEvent) {
  let id = null;
  const data = [];
  for (const line of block.split(/\r?\n/)) {
    if (line.startsWith("data:")) data.push(line.slice(5).replace(/^ /, ""));
    if (line.startsWith("id:")) id = line.slice(3).trim();
  }
  const event = parse(data.join("\n"));
  if (event !== null && typeof event === "object") onEvent(event, id);
}
