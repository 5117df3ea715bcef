// Text objects: plain_text and mrkdwn.

import { fragment, h } from "./dom.js";
import { withEmoji } from "./entities.js";
import { mrkdwn } from "./mrkdwn.js";

export function text(object) {
  return object.type === "mrkdwn"
    ? mrkdwn(object.text, { verbatim: object.verbatim })
    : broken(plain(object));
}

/** A plain_text as a string; its emoji are drawn unless the app said not to. */
export function plain(object) {
  return object.emoji === false ? object.text : withEmoji(object.text);
}

function broken(words) {
  const [first, ...rest] = words.split("\n");
  return fragment(
    first,
    rest.map((line) => [h("br"), line]),
  );
}
