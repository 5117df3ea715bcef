// Links to this workspace's own messages stay on the page: they go to the message.

import { store } from "./store.js";

export function startPermalinks() {
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[href]");
    const found = link && placeOf(link.getAttribute("href"));
    if (!found) return;
    event.preventDefault();
    if (store.channels.every((each) => each.id !== found.channel)) return;
    const thread = store.messages[found.channel].find((each) => each.ts === found.ts)?.thread;
    store.enter(found.channel, "messages", thread);
    const message = document.querySelector(`[data-ts="${CSS.escape(found.ts)}"]`);
    message?.scrollIntoView({ block: "center" });
    message?.focus({ preventScroll: true });
  });
}

function placeOf(href) {
  if (!href.startsWith(store.url)) return null;
  const [, channel, digits] = /^archives\/([A-Z0-9]+)\/p(\d{7,})(?:\?.*)?$/.exec(href.slice(store.url.length)) ?? [];
  return channel ? { channel, ts: `${digits.slice(0, -6)}.${digits.slice(-6)}` } : null;
}
