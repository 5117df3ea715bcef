// Threads and the menu of a message: who replied, the way in and back, and the app's shortcuts.

import { act } from "./api.js";
import { h } from "./dom.js";
import { icon } from "./icons.js";
import { openMenu } from "./menu.js";
import { store } from "./store.js";

const REPLY = "reply";

/** Open a thread, and put the focus into it. */
export function openThread(ts) {
  store.enter(store.channel.id, "messages", ts);
  document.getElementById("messages").focus();
}

function closeThread() {
  const ts = store.thread;
  store.enter(store.channel.id);
  const message = document.querySelector(`[data-ts="${CSS.escape(ts)}"]`);
  message?.scrollIntoView({ block: "center" });
  (message?.querySelector(".replies") ?? message)?.focus({ preventScroll: true });
}

/** The line at the head of the channel while a thread is open; elsewhere nothing. */
export function threadBar() {
  if (!store.thread) return null;
  return h(
    "div",
    { class: "thread-bar" },
    h(
      "button",
      { class: "button small", type: "button", on: { click: closeThread } },
      `Back to ${store.channel.direct ? store.title(store.channel) : `#${store.channel.name}`}`,
    ),
    h("h2", {}, "Thread"),
  );
}

/** Under a message: how many have replied; over a reply in the channel: the way to its thread. */
export function replies(message) {
  if (store.thread || !store.replies(message).length) return null;
  return h(
    "button",
    { class: "replies", type: "button", on: { click: () => openThread(message.ts) } },
    repliesTo(message),
  );
}

/** How many replies a message has, in words. */
export function repliesTo(message) {
  const count = store.replies(message).length;
  return `${count} ${count === 1 ? "reply" : "replies"}`;
}

export function whereReplied(message) {
  if (!message.thread) return null;
  if (store.thread)
    return message.broadcast && h("p", { class: "in-thread" }, "also sent to the channel");
  return h(
    "p",
    { class: "in-thread" },
    "replied to ",
    h(
      "button",
      { class: "replies", type: "button", on: { click: () => openThread(message.thread) } },
      "a thread",
    ),
  );
}

/** What Slack offers under `More actions`. A message that only one person sees has no such menu. */
export function menuOf(message) {
  if (message.ephemeral || !["message", "tombstone"].includes(message.kind)) return null;
  if (!store.channel?.joined) return null;
  const items = [
    { text: "Reply in thread", value: REPLY },
    ...store.shortcuts.map((each) => ({
      text: each.name,
      description: each.description,
      value: each.callback_id,
      group: store.app.name,
    })),
  ];
  const open = (event) =>
    openMenu(event.currentTarget, items, {
      role: "menu",
      label: "Message actions",
      pick: ({ value }) => pick(message, value),
    });
  return h(
    "span",
    { class: "message-menu" },
    h(
      "button",
      {
        class: "icon-button",
        type: "button",
        "aria-label": "Message actions",
        title: "More actions",
        "aria-haspopup": "menu",
        "aria-expanded": "false",
        "data-action": "message-menu",
        on: { click: open },
      },
      icon("dots"),
    ),
  );
}

function pick(message, value) {
  if (value === REPLY) {
    openThread(message.thread ?? message.ts);
    document.getElementById("say")?.focus();
    return;
  }
  act("shortcut", { channel: message.channel, ts: message.ts, callback_id: value });
}
