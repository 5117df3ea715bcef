// Begin: who is looking, and at which channel, stands in the page's address.

import { startChannel } from "./channel.js";
import { startComposer } from "./composer.js";
import { startDrawers } from "./drawers.js";
import { startHome } from "./home.js";
import { follow } from "./live.js";
import { startMessages } from "./messages.js";
import { startModals } from "./modal.js";
import { startPanel } from "./panel.js";
import { startPermalinks } from "./permalinks.js";
import { startSidebar } from "./sidebar.js";
import { store } from "./store.js";

const address = new URLSearchParams(location.search);
store.wanted = address.get("in") ?? "";
store.tab = address.get("tab") ?? "messages";
store.thread = address.get("thread");

startSidebar();
startChannel();
startMessages();
startHome();
startPermalinks();
startComposer();
startModals();
startPanel();
startDrawers();

store.on("place", () => {
  if (!store.channel || !store.role) return;
  const tab = store.tab === "home" ? { tab: store.tab } : {};
  const thread = store.thread ? { thread: store.thread } : {};
  const place = { as: store.role.name, in: store.channel.name, ...tab, ...thread };
  const here = `?${new URLSearchParams(place)}`;
  if (location.search !== here) history.pushState(null, "", here);
});
addEventListener("popstate", () => {
  const back = new URLSearchParams(location.search);
  store.enter(back.get("in"), back.get("tab") ?? "messages", back.get("thread"));
});

follow(
  address.get("as"),
  (event) => store.take(event),
  (isLost) => {
    const line = document.getElementById("lost");
    line.hidden = !isLost;
    line.textContent = isLost ? "The workspace does not answer. Trying again…" : "";
  },
);
