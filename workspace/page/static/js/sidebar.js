// The sidebar: the workspace, its channels, conversations, and who one is.

import { h } from "./dom.js";
import { close, isSomethingOnTop } from "./drawers.js";
import { icon } from "./icons.js";
import { address, peopleSwitch } from "./people.js";
import { store } from "./store.js";

let lists;
let who;

export function startSidebar() {
  lists = h("div", { class: "channel-lists" });
  who = h("div", { class: "who" });
  const team = h("p", { class: "team" });
  document.querySelector("#sidebar nav").append(team, who, lists);
  store.on("snapshot", () => {
    team.textContent = store.team;
    const wasOpen = who.firstChild?.open;
    who.replaceChildren(peopleSwitch());
    who.firstChild.open = Boolean(wasOpen);
    draw();
  });
  store.on("place", draw);
  store.on("unread", draw);
  store.on("connections", draw);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !isSomethingOnTop()) closePeople(event);
  });
}

/** Escape closes the list of people first, and the drawer that it is in with the next. */
function closePeople(event) {
  const people = who.firstChild;
  if (!people?.open) return;
  event.preventDefault();
  people.open = false;
  people.querySelector("summary").focus();
}

function draw() {
  if (!store.ready) return;
  const channels = store.channels.filter((each) => !each.direct);
  const conversations = store.channels.filter((each) => each.direct);
  const focused = lists.contains(document.activeElement)
    ? document.activeElement.dataset.channel
    : null;
  lists.replaceChildren(
    ...section("Channels", channels),
    ...section("Direct messages", conversations),
    ...apps(conversations.find((each) => each.peer === store.app.user)),
  );
  if (focused) lists.querySelector(`[data-channel="${focused}"]`)?.focus();
}

function section(title, channels) {
  if (!channels.length) return [];
  return [
    h("h2", {}, title),
    h(
      "ul",
      {},
      channels.map((each) => h("li", {}, link(each))),
    ),
  ];
}

/** The app, with its Home tab. */
function apps(channel) {
  if (!channel) return [];
  const enter = (event) => {
    event.preventDefault();
    store.enter(channel.id, "home");
    close();
  };
  const here = channel.id === store.channel?.id && store.tab === "home";
  const app = h(
    "a",
    {
      class: here ? "channel-link open" : "channel-link",
      href: `${address(store.role, channel)}&tab=home`,
      "aria-current": here ? "page" : null,
      "data-channel": "home",
      on: { click: enter },
    },
    icon("home"),
    h("span", { class: "channel-name" }, `${store.app.name} Home`),
  );
  return [h("h2", {}, "Apps"), h("ul", {}, h("li", {}, app))];
}

function link(channel) {
  const open = channel.id === store.channel?.id && store.tab !== "home";
  const unread = store.unread[channel.id];
  const enter = (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    store.enter(channel.id);
    close();
  };
  return h(
    "a",
    {
      class: ["channel-link", open && "open", unread && "unread"].filter(Boolean).join(" "),
      href: address(store.role, channel),
      "aria-current": open ? "page" : null,
      "data-channel": channel.id,
      on: { click: enter },
    },
    mark(channel),
    h("span", { class: "channel-name" }, store.title(channel)),
    channel.shared_with.length > 0 && h("span", { class: "chip" }, "shared"),
    !channel.direct && !channel.has_bot && h("span", { class: "chip" }, "no bot"),
    unread &&
      h(
        "span",
        { class: unread.mention ? "count mention-count" : "count" },
        String(unread.count),
        h("span", { class: "unseen" }, " unread"),
      ),
  );
}

function mark(channel) {
  if (!channel.direct) return icon(channel.kind === "private" ? "lock" : "hash");
  if (channel.peer !== store.app.user) return h("span", { class: "presence on" });
  return h("span", { class: store.connections ? "presence on" : "presence" });
}
