// Begin: who is looking, and at which channel, stands in the page's address.

import { startChannel } from "./channel.js";
import { startComposer } from "./composer.js";
import { startDrawers } from "./drawers.js";
import { follow } from "./live.js";
import { startMessages } from "./messages.js";
import { startModals } from "./modal.js";
import { startPanel } from "./panel.js";
import { startSidebar } from "./sidebar.js";
import { store } from "./store.js";

const address = new URLSearchParams(location.search);
store.wanted = address.get("in") ?? "";

startSidebar();
startChannel();
startMessages();
startComposer();
startModals();
startPanel();
startDrawers();

store.on("place", () => {
  if (!store.channel || !store.role) return;
  const here = `?${new URLSearchParams({ as: store.role.name, in: store.channel.name })}`;
  if (location.search !== here) history.pushState(null, "", here);
});
addEventListener("popstate", () => store.enter(new URLSearchParams(location.search).get("in")));

follow(
  address.get("as"),
  (event) => store.take(event),
  (isLost) => {
    const line = document.getElementById("lost");
    line.hidden = !isLost;
    line.textContent = isLost ? "The workspace does not answer. Trying again…" : "";
  },
);
