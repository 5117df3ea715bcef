// The guide: all steps in the panel, and where the panel is out of sight a bar above the composer
// with the step to do now.

import { propose } from "./composer.js";
import { h } from "./dom.js";
import { close, toggle } from "./drawers.js";
import { icon } from "./icons.js";
import { mrkdwn } from "./mrkdwn.js";
import { address, nameOf } from "./people.js";
import { store } from "./store.js";

const STATES = { done: " (done)", passed: " (passed over)" };

let list;
let progress;
let bar;

/** The parts that stand in the panel: how far one is, and the steps. */
export function startGuide() {
  list = h("ol", { class: "guide" });
  progress = h("span", { class: "progress" });
  bar = document.getElementById("guide-bar");
  for (const topic of ["scenario", "place"]) store.on(topic, draw);
  return { list, progress };
}

function draw() {
  if (!store.scenario || !store.ready) return;
  const { guide: steps, ending } = store.scenario;
  const key = JSON.stringify([steps, store.me, store.channel?.name]);
  if (list.dataset.key === key) return;
  list.dataset.key = key;
  const now = steps.find((step) => step.state === "now");
  const behind = steps.filter((step) => ["done", "passed"].includes(step.state)).length;
  const at = now && `${steps.indexOf(now) + 1} of ${steps.length}`;
  progress.textContent = at ?? `${behind} of ${steps.length}`;
  list.replaceChildren(
    ...steps.map((step) => item(step, step === now)),
    item({ ...ending, people: [], state: "ending" }, !now),
  );
  const focused = bar.contains(document.activeElement);
  bar.replaceChildren(...inBar(now ?? ending, at));
  bar.hidden = false;
  if (focused) bar.querySelector("button").focus();
}

function item(step, isNow) {
  return h(
    "li",
    { class: `step ${isNow ? "now" : step.state}`, "aria-current": isNow ? "step" : null },
    h("span", { class: "tick-mark" }, step.state === "done" && icon("check")),
    h(
      "div",
      {},
      h(
        "p",
        { class: "step-title" },
        step.title,
        STATES[step.state] && h("span", { class: "unseen" }, STATES[step.state]),
      ),
      isNow && [
        h("p", { class: "step-text" }, mrkdwn(step.text, { verbatim: true })),
        step.commands.length > 0 && h("div", { class: "commands" }, step.commands.map(command)),
        personInPanel(step),
      ],
    ),
  );
}

function command(text) {
  return h(
    "button",
    { class: "type", type: "button", on: { click: () => type(text) } },
    h("code", {}, text),
    h("span", { class: "unseen" }, ": put it into the message box"),
  );
}

function type(text) {
  close();
  propose(text);
}

/** Whom to become, for whoever can't do a step. */
function whoElse({ people }) {
  const roles = people.map((name) => store.roles.find((each) => each.name === name));
  return roles.some((role) => role.id === store.me) ? null : roles[0];
}

function personInPanel(step) {
  const role = whoElse(step);
  return role && become(role, "step-person", `Be ${nameOf(role.id)} in a new tab`);
}

function become(role, style, ...words) {
  return h(
    "a",
    { class: style, href: address(role), target: "_blank", rel: "noopener" },
    words,
    icon("out"),
  );
}

function inBar(step, at) {
  return [
    h(
      "button",
      {
        class: "bar-step",
        type: "button",
        "aria-controls": "panel",
        "aria-expanded": "false",
        "data-opens": "panel",
        on: { click: (event) => toggle("panel", event.currentTarget) },
      },
      h("span", { class: "bar-at" }, at ?? "Guide"),
      h("span", { class: "bar-title" }, step.title),
      icon("up"),
    ),
    at && actInBar(step),
  ].filter(Boolean);
}

/** What takes one press: to become whoever can, or to have the command typed. */
function actInBar(step) {
  const role = whoElse(step);
  if (role) {
    const [first] = nameOf(role.id).split(" ");
    const rest = h("span", { class: "unseen" }, " in a new tab");
    return become(role, "bar-act", `Be ${first}`, rest);
  }
  const [command] = step.commands;
  return (
    command &&
    h(
      "button",
      {
        class: "bar-act",
        type: "button",
        "aria-label": `Type it: ${command}`,
        on: { click: () => type(command) },
      },
      "Type it",
    )
  );
}
