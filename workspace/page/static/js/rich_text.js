// rich_text: paragraphs, lists, quotes and code, and the elements in them. No markup is read here.

import { fragment, h } from "./dom.js";
import { broadcast, channel, date, emoji, group, link, mention, user } from "./entities.js";
import { unknown } from "./unknown.js";

const TAGS = {
  bold: "b",
  italic: "i",
  strike: "s",
  underline: "u",
  code: "code",
  highlight: "mark",
};

export function richText(block) {
  return h("div", { class: "rich-text" }, block.elements.map(part));
}

/** A table's cell: the same, without the space around it. */
export function richCell(cell) {
  return fragment(cell.elements.map(part));
}

function part(each) {
  switch (each.type) {
    case "rich_text_section":
      return h("div", { class: "rich-section" }, each.elements.map(element));
    case "rich_text_list":
      return list(each);
    case "rich_text_quote":
      return h("blockquote", {}, each.elements.map(element));
    case "rich_text_preformatted":
      return h("pre", {}, each.elements.map(element));
    default:
      return unknown(each.type);
  }
}

function list(each) {
  const ordered = each.style === "ordered";
  const items = each.elements.map((item) => h("li", {}, item.elements.map(element)));
  return h(
    ordered ? "ol" : "ul",
    {
      class: `indent-${Math.min(each.indent ?? 0, 8)}`,
      start: ordered && each.offset ? each.offset + 1 : null,
    },
    items,
  );
}

function element(each) {
  return styled(plain(each), each.style ?? {});
}

function plain(each) {
  switch (each.type) {
    case "text":
      return each.text;
    case "link":
      return link(each.url, each.text);
    case "user":
      return user(each.user_id);
    case "usergroup":
      return group(each.usergroup_id);
    case "team":
      return mention(`@${each.team_id}`, false);
    case "channel":
      return channel(each.channel_id);
    case "broadcast":
      return broadcast(each.range);
    case "emoji":
      return emoji(each.name);
    case "date":
      return date(each.timestamp, each.fallback);
    case "color":
      return h("code", {}, each.value);
    default:
      return unknown(each.type);
  }
}

function styled(node, style) {
  return Object.entries(TAGS).reduce(
    (inside, [name, tag]) => (style[name] ? h(tag, {}, inside) : inside),
    node,
  );
}
