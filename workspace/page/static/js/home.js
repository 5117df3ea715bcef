// The app's Home tab, beside the conversation with it. Opening it tells the app, which draws it.

import { act } from "./api.js";
import { blocks } from "./blocks.js";
import { h } from "./dom.js";
import { homePlace } from "./places.js";
import { store } from "./store.js";

const TABS = { home: "Home", messages: "Messages" };

let panel;
let shown = null;
let place = null;

export function startHome() {
  panel = document.getElementById("home");
  store.on("home", draw);
  store.on("place", entered);
  store.on("snapshot", () => {
    shown = null;
    entered();
  });
}

/** The tabs of the conversation with the app; elsewhere nothing. */
export function tabs() {
  if (!store.channel || store.channel.peer !== store.app.user) return null;
  return h(
    "div",
    { class: "tabs", role: "tablist", "aria-label": store.app.name, on: { keydown: move } },
    Object.entries(TABS).map(([name, words]) =>
      h(
        "button",
        {
          class: "tab",
          type: "button",
          role: "tab",
          id: `tab-${name}`,
          "aria-selected": String(store.tab === name),
          "aria-controls": name,
          tabindex: store.tab === name ? "0" : "-1",
          on: { click: () => choose(name) },
        },
        words,
      ),
    ),
  );
}

function choose(name) {
  store.enter(store.channel.id, name);
  document.getElementById(`tab-${name}`)?.focus();
}

function move(event) {
  if (!["ArrowLeft", "ArrowRight"].includes(event.key)) return;
  event.preventDefault();
  choose(store.tab === "home" ? "messages" : "home");
}

let wasHome = false;

function entered() {
  const isHome = store.tab === "home";
  panel.hidden = !isHome;
  document.getElementById("channel").classList.toggle("at-home", isHome);
  if (isHome && !wasHome) act("home");
  wasHome = isHome;
  if (isHome) draw();
}

function draw() {
  if (panel.hidden) return;
  const { home } = store;
  if (home && home.hash === shown) return;
  shown = home?.hash ?? null;
  if (!home) {
    panel.replaceChildren(h("p", { class: "empty" }, `${store.app.name} draws its Home tab…`));
    return;
  }
  place ??= homePlace();
  place.update(home);
  const focused = panel.contains(document.activeElement)
    ? document.activeElement.dataset.action
    : null;
  panel.replaceChildren(h("div", { class: "message-content home-content" }, blocks(home.body.blocks, place)));
  if (focused) {
    const again = panel.querySelector(`[data-action="${CSS.escape(focused)}"]`);
    (again ?? panel).focus({ preventScroll: true });
  }
}
