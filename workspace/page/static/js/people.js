// People and the bot: their names, their initials, and the switch between them.

import { h } from "./dom.js";
import { icon } from "./icons.js";
import { store } from "./store.js";

const COLOURS = 7;

export function nameOf(id) {
  if (id === "USLACKBOT") return "Slackbot";
  return store.users[id]?.real_name ?? id;
}

/** Initials on a colour of their own: no picture is fetched from anywhere. */
export function avatar(id) {
  const name = nameOf(id);
  const letters = name
    .split(/[\s-]+/)
    .map((word) => word[0])
    .slice(0, 2)
    .join("")
    .toUpperCase();
  const bot = store.users[id]?.is_bot ? " bot" : "";
  return h("span", { class: `avatar colour-${colour(id)}${bot}`, "aria-hidden": "true" }, letters);
}

function colour(id) {
  let sum = 0;
  for (const letter of id) sum += letter.codePointAt(0);
  return sum % COLOURS;
}

/** The address of the page as somebody else, in the channel that is open. */
export function address(role, channel = store.channel) {
  return `?${new URLSearchParams({ as: role.name, in: channel?.name ?? "" })}`;
}

/** Who one is, and a list to become somebody else, here or in a tab beside this one. */
export function peopleSwitch() {
  const { role } = store;
  const summary = h(
    "summary",
    { class: "me" },
    avatar(store.me),
    h(
      "span",
      { class: "me-words" },
      h("span", { class: "me-name" }, nameOf(store.me)),
      h("span", { class: "me-role" }, role ? role.title : ""),
    ),
    icon("down"),
  );
  const people = store.roles.map((each) => {
    const mine = each.id === store.me;
    return h(
      "li",
      { class: mine ? "person mine" : "person" },
      h(
        "a",
        { href: address(each), "aria-current": mine ? "true" : null },
        avatar(each.id),
        h(
          "span",
          { class: "me-words" },
          h("span", { class: "me-name" }, `${nameOf(each.id)}, ${each.title}`),
          h("span", { class: "me-role" }, each.may),
        ),
      ),
      h(
        "a",
        {
          class: "icon-button",
          href: address(each),
          target: "_blank",
          rel: "noopener",
          "aria-label": `${nameOf(each.id)} in a new tab`,
          title: "in a new tab",
        },
        icon("out"),
      ),
    );
  });
  return h("details", { class: "people" }, summary, h("ul", {}, people));
}
