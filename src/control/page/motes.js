// What moves in the picture: motes that go somewhere and fade, never more than so many.

import { mark, s } from "./dom.js";

const LIMIT = 140;

export class Motes {
  constructor(layer) {
    this.layer = layer;
    this.moving = [];
    this.idle = [];
  }

  /** One that is at `at(part)` after this part of its `lasts` seconds. Left out where there are too many. */
  add(mote) {
    if (this.moving.length >= LIMIT) return;
    const circle = this.idle.pop() ?? this.layer.appendChild(s("circle"));
    mark(circle, "class", `mote ${mote.kind}`);
    mark(circle, "data-tint", mote.tint ?? null);
    this.moving.push({ ...mote, circle, age: 0 });
    this.draw(this.moving.at(-1));
  }

  step(seconds) {
    this.moving = this.moving.filter((mote) => {
      mote.age += seconds;
      if (mote.age < mote.lasts) {
        this.draw(mote);
        return true;
      }
      this.rest(mote);
      return false;
    });
  }

  draw({ circle, age, lasts, at, radius, grows = 0 }) {
    const part = age / lasts;
    const { x, y } = at(part);
    circle.setAttribute("cx", x.toFixed(1));
    circle.setAttribute("cy", y.toFixed(1));
    circle.setAttribute("r", (radius + grows * part).toFixed(1));
    circle.setAttribute("opacity", (part < 0.15 ? part / 0.15 : (1 - part) / 0.85).toFixed(2));
  }

  clear() {
    for (const mote of this.moving.splice(0)) this.rest(mote);
  }

  rest({ circle }) {
    circle.setAttribute("opacity", "0");
    this.idle.push(circle);
  }
}
