// What happened, in a sentence each.

import { h, keep, say } from "./dom.js";
import { number, short, time, words } from "./format.js";
import { live } from "./live.js";
import { nodeLink, sessionLink, topicLink } from "./parts.js";

const KINDS = {
  "node.joined": "good",
  "node.left": "quiet",
  "node.died": "bad",
  "node.draining": "warn",
  "node.replaced": "warn",
  "session.attached": "plain",
  "session.detached": "quiet",
  "session.closed": "quiet",
  "topic.opened": "plain",
  "topic.closed": "quiet",
  "message.dropped": "bad",
  "session.gap": "bad",
  "license.changed": "warn",
  audit: "deed",
};

export function kindOf(event) {
  return KINDS[event.type] ?? "plain";
}

const SAYS = {
  "node.joined": (event) => ["Node ", nodeLink(event.node), " joined"],
  "node.left": (event) => ["Node ", nodeLink(event.node), " left"],
  "node.died": (event) => ["Node ", nodeLink(event.node), " is gone"],
  "node.draining": (event) => ["Node ", nodeLink(event.node), " drains"],
  "node.replaced": (event) => ["Node ", nodeLink(event.node), " was started again in its place"],
  "session.attached": (event) => ["Session ", sessionLink(event.subject), " attached", more(event), on(event)],
  "session.detached": (event) => ["Session ", sessionLink(event.subject), " detached", more(event), on(event)],
  "session.closed": (event) => ["Session ", sessionLink(event.subject), " closed", more(event), on(event)],
  "session.gap": (event) => ["Session ", sessionLink(event.subject), " has a gap", more(event), on(event)],
  "topic.opened": (event) => ["Topic ", topicLink(event.subject), " opened", on(event)],
  "topic.closed": (event) => ["Topic ", topicLink(event.subject), " closed", on(event)],
  "message.dropped": (event) => ["Dropped in ", topicLink(event.subject), more(event), on(event)],
  "license.changed": (event) => ["The licence changed", more(event), on(event)],
  audit: (event) => [event.detail || "Somebody did something", event.subject ? [" ", h("span", { class: "mono" }, event.subject)] : "", on(event)],
};

function more(event) {
  return event.detail ? ` (${event.detail})` : "";
}

function on(event) {
  return event.node ? [" on ", nodeLink(event.node)] : "";
}

/** Many of the same kind on the same node, one after the other, in one sentence. */
const MANY = {
  "session.attached": "sessions attached",
  "session.detached": "sessions detached",
  "session.closed": "sessions closed",
  "topic.opened": "topics opened",
  "topic.closed": "topics closed",
  "message.dropped": "times messages dropped",
  "session.gap": "gaps",
};

function grouped(events, limit) {
  const groups = [];
  for (const event of events) {
    const last = groups.at(-1);
    if (last !== undefined && MANY[event.type] !== undefined && last.event.type === event.type && last.event.node === event.node) {
      last.count += 1;
      last.key = event.heard;
    } else {
      if (groups.length === limit) break;
      groups.push({ event, count: 1, key: event.heard });
    }
  }
  return groups;
}

/** The latest of what happened, the newest first. */
export function feed(limit) {
  const list = h("ol", { class: "feed", "aria-label": "What just happened" });
  const empty = h("p", { class: "empty" });
  const update = () => {
    const groups = grouped(live.events, limit);
    say(empty, live.streams === null ? "This node has no stream of events." : live.streams ? "Quiet. What happens from now on is told here." : "Waiting for the stream of events.");
    empty.hidden = groups.length > 0;
    keep(list, groups, (group) => group.key, () => h("li"), (line, { event, count }) => {
      if (line.count === count) return;
      line.count = count;
      line.dataset.kind = kindOf(event);
      line.replaceChildren(h("time", { class: "mono" }, time(event.at_ms)), h("span", {}, count > 1 ? [`${number(count)} ${MANY[event.type]}`, on(event)] : sentence(event)));
    });
  };
  return { element: h("div", { class: "feed-box", tabindex: 0, role: "region", "aria-label": "Events" }, list, empty), update };
}

export function sentence(event) {
  const said = SAYS[event.type];
  if (said === undefined) return [words(event.type ?? "something happened"), event.subject ? [" ", h("span", { class: "mono" }, event.subject)] : "", more(event), on(event)].flat(Infinity);
  return said(event).flat(Infinity);
}

/** The same as plain text, for those who listen. */
export function spoken(event) {
  return `Node ${short(event.node)} ${{ "node.joined": "joined", "node.left": "left", "node.died": "is gone", "node.draining": "drains", "node.replaced": "was started again" }[event.type] ?? words(event.type)}`;
}
