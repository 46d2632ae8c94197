// What became of messages, as parts that make up the whole.

import { shares } from "./chart.js";
import { h, icon, mark, say } from "./dom.js";
import { number, words } from "./format.js";
import { panel } from "./parts.js";

/** Why messages are dropped, in few words. */
const CAUSES = {
  topic_messages: "topic had too many",
  topic_bytes: "topic too large",
  node_bytes: "node too full",
  unheard: "before a reader was heard of",
};

/** What became of messages: parts that make up the whole, or else it says so. */
export function ledger(title) {
  const bar = shares(title);
  const said = h("span");
  const sentence = h("p", { class: "promise" }, icon("check"), said);
  const it = panel(title, {}, sentence, bar.element);
  const update = (told) => {
    const dropped = Object.entries(told.dropped ?? {}).filter(([, count]) => typeof count === "number");
    const parts = [
      { name: "Acknowledged", tint: "good", value: told.acknowledged ?? 0 },
      { name: "Pending", tint: "websocket", value: told.pending ?? 0 },
      { name: "Expired", tint: "warn", value: told.expired ?? 0 },
      ...dropped.map(([cause, value], n) => ({ name: `Dropped: ${CAUSES[cause] ?? words(cause).toLowerCase()}`, tint: `bad-${n % 4}`, value })),
    ];
    bar.update(parts.filter((part) => part.value > 0 || !part.name.startsWith("Dropped")), number);
    const known = Number.isFinite(told.accepted);
    const closes = told.unaccounted === 0;
    mark(sentence, "data-state", !known ? null : closes ? "good" : "bad");
    sentence.firstChild.style.setProperty("display", closes ? "" : "none");
    say(said, !known ? "This node does not tell." : `${number(told.accepted)} accepted, ${closes ? "and each has its place: 0 unaccounted" : `of which ${number(told.unaccounted)} are unaccounted: a mistake, please report it`}`);
  };
  return { element: it.element, update };
}
