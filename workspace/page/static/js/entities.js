// Mentions, links and emoji: what Slack makes of an id, an address or a name.

import { h } from "./dom.js";
import { store } from "./store.js";

const SAFE_LINK = /^(https?:|mailto:)/i;

// The few that the page knows by name; any other stays as it is written.
const EMOJI = {
  warning: "⚠️",
  white_check_mark: "✅",
  x: "❌",
  rotating_light: "🚨",
  eyes: "👀",
  hourglass: "⌛",
  lock: "🔒",
  no_entry: "⛔",
  information_source: "ℹ️",
  tada: "🎉",
};

export function user(id) {
  const known = store.users[id];
  return mention(`@${known ? known.name : id}`, id === store.me);
}

export function group(id, fallback) {
  return mention(`@${store.groups[id] ?? fallback ?? id}`, false);
}

export function broadcast(range) {
  return mention(`@${range}`, true);
}

/** A channel that this person can't see has no name for them. */
export function channel(id) {
  const known = store.channels.find((each) => each.id === id);
  if (!known) return mention("a private channel", false);
  const open = (event) => {
    event.preventDefault();
    store.enter(id);
  };
  const address = `?${new URLSearchParams({ as: store.role?.name ?? "", in: known.name })}`;
  return h("a", { class: "mention", href: address, on: { click: open } }, `#${known.name}`);
}

/** A link; an address that no browser should follow stays text. */
export function link(address, words) {
  if (!SAFE_LINK.test(address)) return words || address;
  return h("a", { href: address, target: "_blank", rel: "noopener noreferrer" }, words || address);
}

export function emoji(name) {
  return EMOJI[name] ?? `:${name}:`;
}

/** Text in which `:name:` stands for an emoji. */
export function withEmoji(text) {
  return text.replace(/:([a-z0-9_+-]+):/g, (whole, name) => EMOJI[name] ?? whole);
}

/** What a date's format asks for, in the reader's own zone. */
export function date(timestamp, fallback) {
  const instant = new Date(timestamp * 1000);
  if (Number.isNaN(instant.getTime())) return fallback ?? "";
  return h("time", { datetime: instant.toISOString(), title: fallback }, instant.toLocaleString());
}

export function mention(words, mine) {
  return h("span", { class: mine ? "mention mine" : "mention" }, words);
}
