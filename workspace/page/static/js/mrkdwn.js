// Slack's mrkdwn, parsed into nodes: *bold*, _italic_, ~strike~, `code`, ```fences```, > quotes,
// <links>, <@mentions> and :emoji:. `&amp;`, `&lt;` and `&gt;` are the only escapes. Whatever does
// not parse is text.

import { fragment, h } from "./dom.js";
import { broadcast, channel, date, emoji, group, link, user } from "./entities.js";

const STYLES = { "*": "b", _: "i", "~": "s" };

// A style begins where no word ends, and ends where no word begins.
const WORD = /[\p{L}\p{N}]/u;

export function unescaped(text) {
  return text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");
}

export function mrkdwn(text) {
  const made = fragment();
  const parts = text.split("```");
  // An odd number of fences leaves the last one open: then it is text like any other.
  const closed = parts.length % 2 ? parts.length : parts.length - 1;
  parts.slice(0, closed).forEach((part, at) => {
    const rest = at === closed - 1 ? parts.slice(closed).map((each) => "```" + each).join("") : "";
    if (at % 2) made.append(h("pre", {}, unescaped(part.replace(/^\n|\n$/g, ""))));
    else made.append(lines(part + rest));
  });
  return made;
}

/** The same as plain text, for those who hear it. */
export function spoken(text) {
  return mrkdwn(text).textContent;
}

function lines(text) {
  const made = fragment();
  let quote = null;
  text.split("\n").forEach((line, at, all) => {
    if (line.startsWith("&gt;") || line.startsWith(">")) {
      if (quote) quote.append(h("br"));
      else made.append((quote = h("blockquote")));
      quote.append(inline(line.replace(/^(&gt;|>) ?/, "")));
      return;
    }
    const afterQuote = quote !== null;
    quote = null;
    if (at > 0 && !afterQuote) made.append(h("br"));
    if (line || at < all.length - 1) made.append(inline(line));
  });
  return made;
}

function inline(text) {
  const made = fragment();
  let plain = "";
  let at = 0;
  const flush = () => {
    if (plain) made.append(unescaped(plain));
    plain = "";
  };
  const put = (node, length) => {
    flush();
    made.append(node);
    at += length;
  };
  while (at < text.length) {
    const rest = text.slice(at);
    const entity = /^<([^<>\n]+)>/.exec(rest);
    const code = /^`([^`\n]+)`/.exec(rest);
    const named = /^:([a-z0-9_+-]+):/.exec(rest);
    const styled = STYLES[text[at]] ? style(text, at) : null;
    if (entity) put(drawn(entity[1]), entity[0].length);
    else if (code) put(h("code", {}, entitiesAsText(code[1])), code[0].length);
    else if (styled !== null) put(h(STYLES[text[at]], {}, inline(styled)), styled.length + 2);
    else if (named && emoji(named[1]) !== named[0]) put(emoji(named[1]), named[0].length);
    else plain += text[at++];
  }
  flush();
  return made;
}

/** What stands between this mark and the one that closes it, or null. */
function style(text, at) {
  const mark = text[at];
  if (WORD.test(text[at - 1] ?? "") || /\s|^$/.test(text[at + 1] ?? "")) return null;
  for (let end = text.indexOf(mark, at + 1); end > 0; end = text.indexOf(mark, end + 1)) {
    const inside = text.slice(at + 1, end);
    if (inside && !/\s$/.test(inside) && !WORD.test(text[end + 1] ?? "")) return inside;
  }
  return null;
}

/** Links inside code are shown by their words. */
function entitiesAsText(text) {
  return unescaped(text.replace(/<([^<>|]+)(?:\|([^<>]+))?>/g, (_, target, words) => words ?? target));
}

function drawn(inside) {
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
