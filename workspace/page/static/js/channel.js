// The head of the channel: what it is, who is in it, and how the login stands.

import { h } from "./dom.js";
import { settle, toggle } from "./drawers.js";
import { tabs } from "./home.js";
import { icon } from "./icons.js";
import { store } from "./store.js";
import { threadBar } from "./threads.js";

export function startChannel() {
  for (const topic of ["snapshot", "place"]) store.on(topic, draw);
  store.on("scenario", pulse);
}

function draw() {
  if (!store.ready) return;
  const head = document.getElementById("channel-head");
  const { channel } = store;
  document.title = channel
    ? `${store.title(channel)} · ${store.role?.name ?? ""} · ${store.team}`
    : store.team;
  head.replaceChildren(
    opener("sidebar", "Channels and people", "icon-button only-narrow", icon("menu")),
    h(
      "div",
      { class: "channel-title" },
      h("h1", {}, channel && mark(channel), channel ? store.title(channel) : "No channel"),
      channel && h("p", {}, about(channel)),
    ),
    opener(
      "panel",
      "Behind the scenes",
      "login-pill",
      h("span", { class: "dot" }),
      h("span", { class: "pill-words" }),
    ),
    ...[tabs(), threadBar()].filter(Boolean),
  );
  pulse();
  settle();
}

function pulse() {
  const pill = document.querySelector(".login-pill");
  if (!pill) return;
  const { scenario } = store;
  pill.hidden = !scenario;
  if (!scenario) return;
  const state = scenario.login.ok ? "login works" : "login fails";
  pill.classList.toggle("good", scenario.login.ok);
  pill.querySelector(".pill-words").textContent = state;
  pill.setAttribute("aria-label", `Behind the scenes: ${state}`);
}

function opener(name, label, style, ...children) {
  const press = (event) => toggle(name, event.currentTarget);
  return h(
    "button",
    {
      class: style,
      type: "button",
      "aria-label": label,
      title: label,
      "aria-controls": name,
      "aria-expanded": "false",
      "data-opens": name,
      on: { click: press },
    },
    children,
  );
}

function mark(channel) {
  if (channel.direct) return null;
  return icon(channel.kind === "private" ? "lock" : "hash");
}

function about(channel) {
  const people =
    channel.kind === "im"
      ? null
      : `${channel.members} ${channel.members === 1 ? "person" : "people"}`;
  const bot =
    channel.has_bot || channel.direct ? null : `${store.app.name} is not in this channel`;
  const shared = channel.shared_with.length
    ? `shared with ${channel.shared_with.join(", ")}`
    : null;
  return [people, shared, bot].filter(Boolean).join(" · ");
}
