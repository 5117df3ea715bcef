// The messages of the open channel, kept as they change. A message that stayed the same keeps its
// nodes, so that an update elsewhere takes neither focus nor an open menu.

import { blocks } from "./blocks.js";
import { h } from "./dom.js";
import { icon } from "./icons.js";
import { mrkdwn, spoken, unescaped } from "./mrkdwn.js";
import { avatar, nameOf } from "./people.js";
import { messagePlace } from "./places.js";
import { store } from "./store.js";
import { menuOf, replies, repliesTo, whereReplied } from "./threads.js";

const TOGETHER = 5 * 60;
const NEAR_END = 24;

const clock = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit",
  minute: "2-digit",
  hourCycle: "h23",
});
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });
const day = new Intl.DateTimeFormat(undefined, { weekday: "long", month: "long", day: "numeric" });

let scroller;
let list;
let pill;
let shownChannel = null;
let shownThread = null;
let stick = true;
let lastTop = 0;
let lastRoom = 0;
const drawn = new Map();
const lines = new Map();

export function startMessages() {
  scroller = document.getElementById("messages");
  list = h("ol", { class: "message-list" });
  pill = h(
    "button",
    { class: "pill", type: "button", hidden: true, on: { click: toEnd } },
    "New messages",
    icon("down"),
  );
  scroller.append(list, pill);
  scroller.addEventListener("scroll", scrolled);
  const keeper = new ResizeObserver(() => stick && toEnd());
  keeper.observe(list);
  keeper.observe(scroller);
  store.on("snapshot", draw);
  store.on("place", draw);
  store.on("message", changed);
  store.on("gone", ({ channel }) => channel === shownChannel && draw());
}

function draw() {
  const id = store.channel?.id ?? null;
  const isOther = id !== shownChannel || store.thread !== shownThread;
  if (isOther) drawn.clear();
  shownChannel = id;
  shownThread = store.thread;
  const messages = store.shown;
  const alive = new Set(messages.map((message) => message.ts));
  for (const ts of drawn.keys()) {
    if (!alive.has(ts)) drawn.delete(ts);
  }
  const nodes = messages.flatMap((message, at) => {
    const before = messages[at - 1];
    const node = nodeOf(message);
    node.classList.toggle("continued", isContinued(message, before));
    return [
      isOtherDay(message, before) && dayOf(message),
      isFirstReply(before) && store.replies(before).length && lineOf(repliesTo(before)),
      node,
    ].filter(Boolean);
  });
  patch(nodes.length ? nodes : [empty()]);
  scroller.setAttribute(
    "aria-label",
    store.channel
      ? `${store.thread ? "Thread" : "Messages"} in ${store.title(store.channel)}`
      : "Messages",
  );
  if (isOther || stick) toEnd();
}

function changed({ message, isNew }) {
  if (message.channel !== shownChannel) return;
  draw();
  if (!store.shown.some((each) => each.ts === message.ts)) return; // in a thread that isn't open
  if (isNew && message.user === store.me) toEnd();
  else if (isNew && !stick) pill.hidden = false;
  if (isNew && message.user !== store.me) announce(message);
}

/** The node of a message: the one that is there, if the message is what it was. */
function nodeOf(message) {
  const version = JSON.stringify([message, store.replies(message).length]);
  const known = drawn.get(message.ts);
  if (known?.version === version) return known.node;
  const node = item(message);
  drawn.set(message.ts, { version, node });
  return node;
}

/** Make these the nodes of the list. One that stays is not touched: moving it would scroll it back. */
function patch(nodes) {
  const focused = list.contains(document.activeElement) ? document.activeElement : null;
  const staying = new Set(nodes);
  const going = [...list.children].filter((node) => !staying.has(node));
  const lefts = new Map(
    going.map((node) => [node.dataset.ts, tables(node).map((each) => each.scrollLeft)]),
  );
  const ts = focused?.closest("[data-ts]")?.dataset.ts;
  for (const node of going) node.remove();
  nodes.forEach((node, at) => {
    if (list.children[at] === node) return;
    list.insertBefore(node, list.children[at] ?? null);
    tables(node).forEach((each, index) => {
      each.scrollLeft = lefts.get(node.dataset.ts)?.[index] ?? 0;
    });
  });
  if (focused && !list.contains(focused)) refocus(ts, focused.dataset.action);
}

function tables(node) {
  return [...node.querySelectorAll(".table-scroller")];
}

/** The element with the same action in the message's new version, or else the message. */
function refocus(ts, action) {
  const message = list.querySelector(`[data-ts="${CSS.escape(ts)}"]`);
  const element = action && message?.querySelector(`[data-action="${CSS.escape(action)}"]`);
  (element || message || scroller).focus({ preventScroll: true });
}

function item(message) {
  const author = message.user;
  const when = new Date(Number(message.ts) * 1000);
  const classes = ["message", message.kind];
  if (message.ephemeral) classes.push("ephemeral");
  return h(
    "li",
    { class: classes.join(" "), "data-ts": message.ts, tabindex: "-1" },
    avatar(author),
    h("span", { class: "short-time", "aria-hidden": "true" }, clock.format(when)),
    h(
      "div",
      { class: "message-body" },
      message.ephemeral && h("p", { class: "only-you" }, icon("eye"), "Only visible to you"),
      h(
        "p",
        { class: "message-head" },
        h("strong", { class: "author" }, nameOf(author)),
        badge(author),
        h("time", { datetime: when.toISOString(), title: exact.format(when) }, clock.format(when)),
      ),
      whereReplied(message),
      h("div", { class: "message-content" }, content(message)),
      replies(message),
    ),
    menuOf(message),
  );
}

function badge(author) {
  const known = store.users[author];
  if (known?.is_bot) return h("span", { class: "badge" }, "APP");
  if (known?.foreign) return h("span", { class: "badge foreign" }, known.team);
  return null;
}

function content(message) {
  const place = messagePlace(message);
  return [
    message.kind === "command" && h("p", { class: "typed" }, unescaped(message.text)),
    message.kind !== "command" &&
      (message.blocks.length ? blocks(message.blocks, place) : words(message)),
    message.attachments.map((each) => attachment(each, place)),
    message.edited && h("span", { class: "edited" }, "(edited)"),
  ];
}

function words(message) {
  return message.text && h("div", { class: "words" }, mrkdwn(message.text));
}

function attachment(each, place) {
  return h(
    "div",
    { class: "attachment" },
    each.text && mrkdwn(each.text),
    blocks(each.blocks ?? [], place),
  );
}

function isContinued(message, before) {
  return (
    before !== undefined &&
    before.user === message.user &&
    before.ephemeral === message.ephemeral &&
    !message.ephemeral &&
    !isOtherDay(message, before) &&
    !isFirstReply(before) &&
    Number(message.ts) - Number(before.ts) < TOGETHER
  );
}

function isOtherDay(message, before) {
  return !before || date(message).toDateString() !== date(before).toDateString();
}

function date(message) {
  return new Date(Number(message.ts) * 1000);
}

/** Whether the message before is the one whose thread is open. */
function isFirstReply(before) {
  return before !== undefined && before.ts === store.thread;
}

/** The line above the first message of a day. */
function dayOf(message) {
  const key = date(message).toDateString();
  return lineOf(key === new Date().toDateString() ? "Today" : day.format(date(message)));
}

/** A line across the list, with words on it. */
function lineOf(words) {
  if (!lines.has(words)) lines.set(words, h("li", { class: "line" }, h("span", {}, words)));
  return lines.get(words);
}

function empty() {
  const channel = store.channel;
  if (!channel) return h("li", { class: "empty" }, "There is no channel that you may see.");
  const commands = store.commands.map((each) => each.name).join(" and ");
  const text = channel.has_bot
    ? `${store.app.name} is here: ${commands} answer in this channel.`
    : `${store.app.name} is not in this conversation.`;
  return h("li", { class: "empty" }, h("strong", {}, store.title(channel)), h("br"), text);
}

/** Screen readers get what notifications get: the top-level text. */
function announce(message) {
  const place = document.getElementById("announcer");
  place.textContent = `${nameOf(message.user)}: ${spoken(message.text)}`;
}

/**
 * Only people move the content down: with wheel, finger, key, scrollbar, or by going to a button.
 * What grows leaves the position as it is (`overflow-anchor: none`), however far the end is then.
 */
function scrolled() {
  // Where there is less or more room than before, the browser may have moved it.
  const up = scroller.scrollTop < lastTop && lastRoom === room();
  lastTop = scroller.scrollTop;
  lastRoom = room();
  if (scroller.scrollHeight - lastTop - scroller.clientHeight < NEAR_END) stick = true;
  else if (up) stick = false;
  scroller.classList.toggle("stuck", stick);
  if (stick) pill.hidden = true;
}

/** How far it can be scrolled. */
function room() {
  return scroller.scrollHeight - scroller.clientHeight;
}

function toEnd() {
  scroller.scrollTop = scroller.scrollHeight;
  lastTop = scroller.scrollTop;
  lastRoom = room();
  stick = true;
  scroller.classList.add("stuck");
  pill.hidden = true;
}
