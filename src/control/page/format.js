// Numbers, times and names as people read them.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const small = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });
const NONE = "\u2013";

/** A number in full. */
export function number(value) {
  return Number.isFinite(value) ? whole.format(value) : NONE;
}

/** A number that is short: 12.3k. */
export function brief(value) {
  if (!Number.isFinite(value)) return NONE;
  for (const [unit, size] of [["G", 1e9], ["M", 1e6], ["k", 1e4]]) {
    if (Math.abs(value) >= size) return `${small.format(value / (unit === "k" ? 1e3 : size))}${unit}`;
  }
  return whole.format(value);
}

/** So many a second. */
export function rate(value) {
  if (!Number.isFinite(value)) return NONE;
  return value > 0 && value < 10 ? value.toFixed(1) : brief(Math.round(value));
}

export function bytes(value) {
  if (!Number.isFinite(value)) return NONE;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (Math.abs(value) >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? whole.format(value) : small.format(value)} ${units[unit]}`;
}

/** How long, of milliseconds. */
export function duration(ms) {
  if (!Number.isFinite(ms)) return NONE;
  if (ms < 1) return `${small.format(ms)} ms`;
  if (ms < 1000) return `${small.format(ms)} ms`;
  const seconds = ms / 1000;
  if (seconds < 60) return `${seconds < 10 ? Math.round(seconds * 10) / 10 : Math.floor(seconds)} s`;
  const parts = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const from = parts.findIndex(([, size]) => seconds >= size);
  let rest = Math.floor(seconds);
  return parts.slice(from, from + 2).map(([unit, size]) => {
    const count = Math.floor(rest / size);
    rest -= count * size;
    return count === 0 ? "" : `${count} ${unit}`;
  }).filter(Boolean).join(" ");
}

/** A round trip, of microseconds. */
export function roundTrip(us) {
  return Number.isFinite(us) ? `${us < 10_000 ? (us / 1000).toFixed(2) : small.format(us / 1000)} ms` : NONE;
}

/** How long ago. */
export function ago(at, now = Date.now()) {
  if (!Number.isFinite(at)) return NONE;
  const ms = Math.max(0, now - at);
  return ms < 2000 ? "just now" : `${duration(Math.floor(ms / 1000) * 1000)} ago`;
}

/** The time of the day, with the day where it is not today's. */
export function time(at, precise = false) {
  if (!Number.isFinite(at)) return NONE;
  const date = new Date(at);
  const two = (value, digits = 2) => String(value).padStart(digits, "0");
  let text = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  if (precise) text += `.${two(date.getMilliseconds(), 3)}`;
  if (date.toDateString() === new Date().toDateString()) return text;
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${text}`;
}

/** So much of an id that a person tells it from others. */
export function short(id) {
  return id === null || id === undefined ? NONE : String(id).slice(0, 8);
}

export function plural(count, one, many = `${one}s`) {
  return `${number(count)} ${count === 1 ? one : many}`;
}

const TRANSPORTS = {
  websocket: "WebSocket",
  event_stream: "Event stream",
  streaming: "Streaming",
  long_polling: "Long polling",
  jsonp: "JSONP",
  grpc: "gRPC",
};

/** All transports, in the order in which they are shown. */
export const transports = Object.keys(TRANSPORTS);

export function transport(name) {
  return TRANSPORTS[name] ?? words(name ?? NONE);
}

const NAMES = { id: "ID", url: "URL", rtt: "Round trip", tls: "TLS", jsonp: "JSONP", grpc: "gRPC", http: "HTTP", websocket: "WebSocket" };
const UNITS = /_(ms|us|bytes|secs|seconds|days)$/;

/** A name of the API's in words: `grace_days` is "Grace". What is no such name stays as it is. */
export function words(key) {
  const text = String(key);
  if (!/^[a-z][a-z_. ]*$/.test(text)) return text;
  const unit = UNITS.exec(text)?.[1];
  const plain = text.replace(UNITS, unit === "bytes" ? " size" : "").replaceAll(/[_.]+/g, " ").trim();
  const parts = plain.split(" ").map((part, n) => NAMES[part] ?? (n === 0 ? part.charAt(0).toUpperCase() + part.slice(1) : part));
  return parts.join(" ");
}

/** A value of the API's, by the unit that its name ends with. */
export function value(key, it) {
  if (it === null || it === undefined || it === "") return NONE;
  if (typeof it === "boolean") return it ? "yes" : "no";
  if (typeof it !== "number") return String(it);
  if (/^at_ms$|_at_ms$|^(since|stored)_ms$/.test(key)) return time(it);
  switch (UNITS.exec(key)?.[1]) {
    case "ms": return duration(it);
    case "us": return roundTrip(it);
    case "bytes": return bytes(it);
    case "secs":
    case "seconds": return duration(it * 1000);
    case "days": return plural(it, "day");
    default: return key === "bytes" ? bytes(it) : number(it);
  }
}
