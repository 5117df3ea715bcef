// Slack's mrkdwn, parsed into nodes: *bold*, _italic_, ~strike~, `code`, ```fences```, > quotes,
// <links>, <@mentions> and :emoji:. `&amp;`, `&lt;` and `&gt;` are the only escapes. Whatever does
// not parse is text. Bare addresses become links, unless the text is `verbatim`: an app that forgets
// to say so is seen to link what it did not mean to.

import { fragment, h } from "./dom.js";
import { broadcast, channel, date, emoji, group, link, user } from "./entities.js";

const FENCE = "```";
const STYLES = { "*": "b", _: "i", "~": "s" };
const WORD = /[\p{L}\p{N}]/u;
const ADDRESS =
  /^(?:https?:\/\/[^\s<>|]+|(?:[a-z0-9-]+\.)+(?:com|dev|io|net|org)(?![\w.-])(?:\/[^\s<>|]*)?)/i;

export function unescaped(text) {
  return text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");
}

export function mrkdwn(text, { verbatim = false } = {}) {
  const pieces = text.split(FENCE);
  // A fence that nothing closes is text like any other.
  const open = pieces.length % 2 ? "" : FENCE + pieces.pop();
  pieces[pieces.length - 1] += open;
  return fragment(pieces.map((piece, at) => (at % 2 ? fenced(piece) : lines(piece, !verbatim))));
}

/** The same as plain text, for those who hear it. */
export function spoken(text) {
  return mrkdwn(text).textContent;
}

function fenced(piece) {
  const words = entitiesAsText(piece.replace(/^\n|\n$/g, ""));
  return h("pre", {}, words);
}

function lines(text, links) {
  const made = fragment();
  let quote = null;
  text.split("\n").forEach((line, at) => {
    const quoted = /^(?:&gt;|>) ?(.*)$/.exec(line);
    if (quoted && quote) quote.append(h("br"), inline(quoted[1], links));
    else if (quoted) made.append((quote = h("blockquote", {}, inline(quoted[1], links))));
    else {
      if (at > 0 && !quote) made.append(h("br"));
      quote = null;
      made.append(inline(line, links));
    }
  });
  return made;
}

function inline(text, links) {
  const made = fragment();
  let plain = "";
  let at = 0;
  while (at < text.length) {
    const found = token(text, at, links);
    if (found) {
      made.append(unescaped(plain), found.node);
      plain = "";
      at += found.length;
    } else {
      plain += text[at];
      at += 1;
    }
  }
  made.append(unescaped(plain));
  return made;
}

/** What begins at this place, as a node and the length of its source, or null for plain text. */
function token(text, at, links) {
  const rest = text.slice(at);
  const afterWord = WORD.test(text[at - 1] ?? "");
  let found;
  if ((found = /^<([^<>\n]+)>/.exec(rest))) return taken(found, entity(found[1]));
  if ((found = /^`([^`\n]+)`/.exec(rest))) {
    return taken(found, h("code", {}, entitiesAsText(found[1])));
  }
  if ((found = /^:([a-z0-9_+-]+):/.exec(rest)) && emoji(found[1]) !== found[0]) {
    return taken(found, emoji(found[1]));
  }
  if (links && !afterWord && (found = ADDRESS.exec(rest))) {
    const address = unescaped(found[0]);
    return taken(found, link(address.includes("://") ? address : `http://${address}`, address));
  }
  const inside = STYLES[text[at]] && !afterWord ? styled(text, at) : null;
  if (inside === null) return null;
  return { node: h(STYLES[text[at]], {}, inline(inside, links)), length: inside.length + 2 };
}

function taken(found, node) {
  return { node, length: found[0].length };
}

/** What stands between this mark and the one that closes it, or null. Neither touches a space. */
function styled(text, at) {
  const mark = text[at];
  for (let end = text.indexOf(mark, at + 1); end > 0; end = text.indexOf(mark, end + 1)) {
    const inside = text.slice(at + 1, end);
    if (/^\S(?:.*\S)?$/.test(inside) && !WORD.test(text[end + 1] ?? "")) return inside;
  }
  return null;
}

/** Inside code, links and mentions are shown by their words. */
function entitiesAsText(text) {
  return unescaped(
    text.replace(/<([^<>|\n]+)(?:\|([^<>\n]+))?>/g, (_, target, words) => words ?? target),
  );
}

function entity(inside) {
  const bar = inside.indexOf("|");
  const target = bar < 0 ? inside : inside.slice(0, bar);
  const words = bar < 0 ? "" : inside.slice(bar + 1);
  if (target.startsWith("@")) return user(target.slice(1));
  if (target.startsWith("#")) return channel(target.slice(1));
  if (target.startsWith("!subteam^")) return group(target.slice("!subteam^".length), words);
  if (target.startsWith("!date^")) return date(Number(target.split("^")[1]), unescaped(words));
  if (target.startsWith("!")) return broadcast(target.slice(1));
  return link(unescaped(target), unescaped(words));
}
