// What the page can't draw, it names: an answer must not look whole when it isn't.

import { h } from "./dom.js";

export function unknown(type) {
  return h("span", { class: "unknown" }, `This page does not draw “${type}”.`);
}
