// Elements, made without markup: whatever a value holds, it becomes text.

const SVG = "http://www.w3.org/2000/svg";

/** An element with facts (attributes, `on` for what it listens to, `data`) and children. */
export function h(name, facts = {}, ...children) {
  return dress(document.createElement(name), facts, children);
}

/** The same, of a picture. */
export function s(name, facts = {}, ...children) {
  return dress(document.createElementNS(SVG, name), facts, children);
}

function dress(element, facts, children) {
  for (const [name, value] of Object.entries(facts)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "on") {
      for (const [type, listen] of Object.entries(value)) element.addEventListener(type, listen);
    } else if (name === "data") {
      Object.assign(element.dataset, value);
    } else if (name === "value" || name === "checked") {
      element[name] = value;
    } else {
      element.setAttribute(name, value === true ? "" : value);
    }
  }
  element.append(...nodes(children));
  return element;
}

function nodes(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
}

/** Has `element` hold these children and no others. */
export function fill(element, ...children) {
  element.replaceChildren(...nodes(children));
  return element;
}

/** Has `element` say this, and touches it only if it says something else. */
export function say(element, text) {
  const said = String(text);
  if (element.textContent !== said) element.textContent = said;
  return element;
}

/** Changes an attribute only if it is another one. */
export function mark(element, name, value) {
  if (value === null || value === undefined || value === false) {
    if (element.hasAttribute(name)) element.removeAttribute(name);
  } else if (element.getAttribute(name) !== String(value)) {
    element.setAttribute(name, value);
  }
  return element;
}

/**
 * Has the children of `parent` be those of `items`, in this order: what is there for an item already
 * is kept, with its focus.
 */
export function keep(parent, items, keyOf, make, update) {
  const had = new Map([...parent.children].map((child) => [child.keptFor, child]));
  let place = parent.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    let child = had.get(key);
    if (child === undefined) {
      child = make(item);
      child.keptFor = key;
    } else {
      had.delete(key);
    }
    update?.(child, item);
    if (child === place) place = place.nextElementSibling;
    else parent.insertBefore(child, place);
  }
  for (const child of had.values()) child.remove();
}

const ICONS = {
  overview: ["M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8z", "M4.5 8.5a8.5 8.5 0 0 1 14-1.2", "M19.5 15.5a8.5 8.5 0 0 1-14 1.2"],
  nodes: ["M4 5h16v5H4z", "M4 14h16v5H4z", "M7.5 7.5h.01", "M7.5 16.5h.01"],
  topics: ["M5 9h14", "M5 15h14", "M10 4 8 20", "M16 4l-2 16"],
  sessions: ["M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7z", "M2.5 20a6.5 6.5 0 0 1 13 0", "M16 4.3a3.5 3.5 0 0 1 0 6.4", "M18.5 14.5A6.5 6.5 0 0 1 21.5 20"],
  messages: ["M4 5h16v11H9l-5 4z", "M8 9h8", "M8 12.5h5"],
  statistics: ["M4 19h16", "M7 15v-4", "M12 15V6", "M17 15V9"],
  configuration: ["M4 7h9", "M17 7h3", "M15 5v4", "M4 17h3", "M11 17h9", "M9 15v4", "M4 12h12"],
  licence: ["M6 3h9l4 4v14H6z", "M15 3v4h4", "M9.5 13l2 2 3.5-4"],
  audit: ["M8 6h12", "M8 12h12", "M8 18h12", "M4 6h.01", "M4 12h.01", "M4 18h.01"],
  menu: ["M4 7h16", "M4 12h16", "M4 17h16"],
  sun: ["M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8z", "M12 2.5v2", "M12 19.5v2", "M2.5 12h2", "M19.5 12h2", "M5.3 5.3l1.4 1.4", "M17.3 17.3l1.4 1.4", "M18.7 5.3l-1.4 1.4", "M6.7 17.3l-1.4 1.4"],
  moon: ["M20 14.5A8.5 8.5 0 0 1 9.5 4a8.5 8.5 0 1 0 10.5 10.5z"],
  auto: ["M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17z", "M12 3.5v17", "M12 8.5h7.5", "M12 12.5h8.4", "M12 16.5h7"],
  keys: ["M3 6.5h18v11H3z", "M7 10h.01", "M11 10h.01", "M15 10h.01", "M8 14h8"],
  out: ["M10 4H5v16h5", "M14 8l4 4-4 4", "M18 12H9"],
  up: ["M12 19V6", "M6 11l6-6 6 6"],
  down: ["M12 5v13", "M6 13l6 6 6-6"],
  check: ["M5 12.5l4.5 4.5L19 7.5"],
  warn: ["M12 4 2.5 20h19z", "M12 10v4.5", "M12 17.3h.01"],
  close: ["M6 6l12 12", "M18 6 6 18"],
  search: ["M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13z", "M15.5 15.5 20 20"],
};

/** A small picture that says nothing by itself. */
export function icon(name) {
  const facts = { viewBox: "0 0 24 24", class: "icon", "aria-hidden": "true", focusable: "false" };
  return s("svg", facts, ICONS[name].map((d) => s("path", { d })));
}

/** A planet in its exosphere. */
export function planet() {
  return s("svg", { viewBox: "0 0 32 32", class: "planet", "aria-hidden": "true", focusable: "false" },
    s("circle", { cx: 16, cy: 16, r: 9, class: "planet-body" }),
    s("path", { d: "M9.6 9.8a9 9 0 0 1 12.6 12.6A11 11 0 0 0 9.6 9.8z", class: "planet-day" }),
    s("circle", { cx: 16, cy: 16, r: 13.5, class: "planet-air" }));
}
