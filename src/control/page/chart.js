// Figures over time, drawn by hand: a small line without words, and a chart with axes.

import { fill, h, keep, mark, s, say } from "./dom.js";
import { fresh } from "./parts.js";

const LINE = { width: 120, height: 34 };

/** A line that says by its shape how something went. What it shows is said elsewhere in words. */
export function sparkline() {
  const area = s("path", { class: "spark-area" });
  const line = s("path", { class: "spark-line" });
  const element = s("svg", { class: "spark", viewBox: `0 0 ${LINE.width} ${LINE.height}`, preserveAspectRatio: "none", "aria-hidden": "true", focusable: "false" }, area, line);
  return {
    element,
    update(values) {
      const most = Math.max(1e-9, ...values);
      const step = LINE.width / Math.max(1, values.length - 1);
      const points = values.map((value, n) => `${(n * step).toFixed(1)} ${(LINE.height - 2 - (value / most) * (LINE.height - 4)).toFixed(1)}`);
      const drawn = points.length > 1;
      mark(line, "d", drawn ? `M${points.join("L")}` : "");
      mark(area, "d", drawn ? `M0 ${LINE.height}L${points.join("L")}L${LINE.width} ${LINE.height}Z` : "");
    },
  };
}

const BOX = { height: 190, left: 46, right: 10, top: 12, bottom: 22 };

/**
 * A chart of several series over time. A series is `{ name, tint, of(sample) }`; `stacked` ones lie on each
 * other. What a pointer or the arrow keys point at is written below.
 */
export function chart(title, series, say_, { stacked = false } = {}) {
  const clip = fresh("chart");
  const grid = s("g", { class: "chart-grid" });
  const lines = s("g");
  const cursor = s("line", { class: "chart-cursor", y1: BOX.top, y2: BOX.height - BOX.bottom, visibility: "hidden" });
  const picture = s("svg", { class: "chart", role: "img", "aria-labelledby": clip, tabindex: 0, height: BOX.height }, grid, lines, cursor);
  const legend = h("ul", { class: "legend" });
  const reading = h("p", { class: "chart-reading" });
  const element = h("figure", { class: "chart-figure" }, h("figcaption", { id: clip }, h("h2", {}, title), h("span", { class: "hidden" })), picture, h("div", { class: "chart-foot" }, legend, reading));
  const words = element.querySelector("figcaption span");
  const paths = series.map(({ tint }) => ({
    area: s("path", { class: "chart-area", "data-tint": tint }),
    line: s("path", { class: "chart-line", "data-tint": tint }),
  }));
  for (const path of paths) lines.append(path.area, path.line);
  let samples = [];
  let chosen = null;
  let width = 600;

  const draw = () => {
    mark(picture, "viewBox", `0 0 ${width} ${BOX.height}`);
    const rows = samples.map((sample) => rowOf(sample, series, stacked));
    const most = nice(Math.max(1, ...rows.flatMap((row) => row.map(([, top]) => top))));
    const [from, to] = [samples[0]?.at ?? 0, samples.at(-1)?.at ?? 1];
    const x = (at) => BOX.left + ((at - from) / Math.max(1, to - from)) * (width - BOX.left - BOX.right);
    const y = (value) => BOX.height - BOX.bottom - (value / most) * (BOX.height - BOX.top - BOX.bottom);
    drawGrid(grid, most, y, x, from, to, width, say_);
    paths.forEach(({ area, line }, n) => {
      const top = rows.map((row, at) => `${x(samples[at].at).toFixed(1)} ${y(row[n][1]).toFixed(1)}`);
      const low = rows.map((row, at) => `${x(samples[at].at).toFixed(1)} ${y(row[n][0]).toFixed(1)}`).reverse();
      mark(line, "d", top.length > 1 ? `M${top.join("L")}` : "");
      mark(area, "d", top.length > 1 ? `M${top.join("L")}L${low.join("L")}Z` : "");
    });
    const at = chosen === null ? samples.length - 1 : Math.min(chosen, samples.length - 1);
    const sample = samples[at];
    keep(legend, sample === undefined ? [] : series, (it) => it.name, (it) => h("li", { "data-tint": it.tint }, h("span", { class: "swatch", "aria-hidden": "true" }), h("span", {}, it.name), h("b", {})), (line, it) => say(line.lastChild, say_(it.of(sample))));
    const seconds = sample === undefined ? 0 : Math.round((samples.at(-1).at - sample.at) / 1000);
    say(reading, sample === undefined ? "" : chosen === null ? "now" : `${seconds} s before`);
    mark(cursor, "visibility", chosen === null || sample === undefined ? "hidden" : "visible");
    if (sample !== undefined) for (const end of ["x1", "x2"]) mark(cursor, end, x(sample.at).toFixed(1));
    say(words, sample === undefined ? "" : `, now: ${series.map((it) => `${it.name} ${say_(it.of(samples.at(-1)))}`).join(", ")}`);
  };
  listen(picture, (part) => {
    chosen = part === null || samples.length === 0 ? null : Math.round(part * (samples.length - 1));
    draw();
  }, (step) => {
    const at = (chosen ?? samples.length - 1) + step;
    chosen = at >= samples.length - 1 ? null : Math.max(0, at);
    draw();
  });
  new ResizeObserver(([entry]) => {
    width = Math.max(200, entry.contentRect.width);
    draw();
  }).observe(element);
  return {
    element,
    update(fresh) {
      samples = fresh;
      draw();
    },
  };
}

/** Where each series begins and ends at a time. */
function rowOf(sample, series, stacked) {
  let below = 0;
  return series.map(({ of }) => {
    const value = of(sample) || 0;
    const from = stacked ? below : 0;
    below += value;
    return [from, from + value];
  });
}

function drawGrid(grid, most, y, x, from, to, width, words) {
  const rows = (most < 2 ? [0, 1] : [0, 0.5, 1]).map((part) => {
    const at = y(most * part);
    return [s("line", { x1: BOX.left, x2: width - BOX.right, y1: at, y2: at }), s("text", { x: BOX.left - 8, y: at + 4, "text-anchor": "end" }, words(most * part))];
  });
  const span = (to - from) / 1000;
  const ticks = span < 2 ? [] : [0, 0.5, 1].map((part) => {
    const back = Math.round(span * (1 - part));
    const text = back === 0 ? "now" : back < 120 ? `-${back} s` : `-${Math.round(back / 60)} min`;
    return s("text", { x: x(from + (to - from) * part), y: BOX.height - 5, "text-anchor": ["start", "middle", "end"][part * 2] }, text);
  });
  fill(grid, rows, ticks);
}

function listen(picture, point, step) {
  picture.addEventListener("pointermove", (event) => {
    const box = picture.getBoundingClientRect();
    const part = (event.clientX - box.left - BOX.left) / (box.width - BOX.left - BOX.right);
    point(Math.min(1, Math.max(0, part)));
  });
  picture.addEventListener("pointerleave", () => point(null));
  picture.addEventListener("blur", () => point(null));
  picture.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: -1, ArrowRight: 1, PageUp: 10, PageDown: -10 }[event.key];
    if (steps === undefined) return;
    event.preventDefault();
    step(steps);
  });
}

/** The next number from here on that is easy to read. */
function nice(value) {
  const size = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 3, 4, 5, 6, 8, 10].map((step) => step * size).find((step) => step >= value);
}

/** Parts of a whole as a bar, each with its name and number. `parts` are `{ name, value, tint }`. */
export function shares(title) {
  const bar = h("div", { class: "shares-bar", "aria-hidden": "true" });
  const list = h("ul", { class: "legend shares-legend", "aria-label": title });
  const element = h("div", { class: "shares" }, bar, list);
  return {
    element,
    update(parts, words) {
      const shown = parts.filter((part) => part.value > 0);
      keep(bar, shown, (part) => part.name, (part) => h("span", { "data-tint": part.tint }), (piece, part) => piece.style.setProperty("flex-grow", part.value));
      keep(list, parts, (part) => part.name, (part) => h("li", { "data-tint": part.tint }, h("span", { class: "swatch", "aria-hidden": "true" }), h("span", {}, part.name), h("b", {})), (line, part) => {
        say(line.lastChild, words(part.value));
        mark(line, "data-none", part.value === 0 ? true : null);
      });
    },
  };
}
