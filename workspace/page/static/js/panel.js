// Behind the scenes: the login that keeps trying, the guide, what PostgreSQL itself says, the faults
// that a visitor may cause, and what went over the wire.

import { act } from "./api.js";
import { propose } from "./composer.js";
import { h } from "./dom.js";
import { close } from "./drawers.js";
import { icon } from "./icons.js";
import { mrkdwn } from "./mrkdwn.js";
import { address, nameOf } from "./people.js";
import { psql } from "./psql.js";
import { store } from "./store.js";

const LINES = 12;
const time = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23",
});
const WORDS = {
  up: "PostgreSQL answers",
  full: "PostgreSQL is full",
  hung: "PostgreSQL hangs",
  restarting: "PostgreSQL restarts",
};

const parts = {};

export function startPanel() {
  const panel = document.querySelector("#panel aside");
  parts.login = h("section", { class: "login", "aria-label": "The login" });
  parts.guide = h("ol", { class: "guide" });
  parts.progress = h("span", { class: "progress" });
  parts.database = h("span", { class: "database" });
  parts.truth = h("div", { class: "truth" });
  parts.faults = h("div", { class: "faults" });
  parts.wire = h("ol", { class: "wire" });
  panel.append(
    h(
      "header",
      { class: "panel-head" },
      h("h2", {}, "Behind the scenes"),
      h(
        "button",
        {
          class: "icon-button only-drawer",
          type: "button",
          "aria-label": "Back to the channel",
          on: { click: close },
        },
        icon("close"),
      ),
    ),
    parts.login,
    section("Guide", parts.progress, parts.guide),
    section("The truth", parts.database, parts.truth),
    section("Break something", resetButton(), parts.faults),
    section("On the wire", null, parts.wire),
  );
  store.on("snapshot", () => {
    wire();
    faults();
  });
  store.on("scenario", draw);
  store.on("wire", wire);
  store.on("in_force", faults);
}

function section(title, beside, body) {
  return h(
    "section",
    { class: "panel-section", "aria-label": title },
    h("div", { class: "panel-title" }, h("h3", {}, title), beside),
    body,
  );
}

function draw() {
  document.getElementById("app").classList.add("has-scenario");
  login();
  guide();
  faults();
  const { database, activity } = store.scenario;
  parts.database.textContent = WORDS[database.state];
  parts.database.className = `database ${database.state}`;
  psql(parts.truth, activity);
}

function login() {
  const { ok, text, at, attempts } = store.scenario.login;
  const headline = ok ? "some_user logs in" : "some_user can’t log in";
  const known = parts.login.querySelector(".login-head");
  parts.login.className = ok ? "login good" : "login";
  const when = h(
    "p",
    { class: "login-when" },
    `attempt ${attempts} at ${time.format(new Date(at))}`,
  );
  if (known?.dataset.words === headline) {
    parts.login.querySelector(".login-words").textContent = text;
    parts.login.querySelector(".login-when").replaceWith(when);
    return;
  }
  parts.login.replaceChildren(
    h(
      "p",
      { class: "login-head", role: "status", "data-words": headline },
      h("span", { class: "dot" }),
      headline,
    ),
    h("code", { class: "login-words" }, text),
    when,
  );
}

function guide() {
  const steps = store.scenario.guide;
  const next = steps.find((step) => !step.done);
  parts.progress.textContent = `${steps.filter((step) => step.done).length} of ${steps.length}`;
  const key = JSON.stringify([steps, store.me, store.channel?.name]);
  if (parts.guide.dataset.key === key) return;
  parts.guide.dataset.key = key;
  parts.guide.replaceChildren(...steps.map((step) => guideStep(step, step === next)));
}

function guideStep(step, isNext) {
  return h(
    "li",
    {
      class: ["step", step.done && "done", isNext && "next"].filter(Boolean).join(" "),
      "aria-current": isNext ? "step" : null,
    },
    h("span", { class: "tick-mark" }, step.done ? icon("check") : null),
    h(
      "div",
      {},
      h(
        "p",
        { class: "step-title" },
        step.title,
        step.done && h("span", { class: "unseen" }, " (done)"),
      ),
      isNext && [
        h("p", { class: "step-text" }, mrkdwn(step.text, { verbatim: true })),
        offerCommand(step),
        offerPerson(step),
      ],
    ),
  );
}

function offerCommand({ command }) {
  if (!command) return null;
  const type = () => {
    close();
    propose(command);
  };
  return h(
    "button",
    { class: "type", type: "button", on: { click: type } },
    h("code", {}, command),
    h("span", { class: "unseen" }, ": put it into the message box"),
  );
}

function offerPerson({ person }) {
  const role = store.roles.find((each) => each.name === person);
  if (!role || role.id === store.me) return null;
  return h(
    "a",
    { class: "step-person", href: address(role), target: "_blank", rel: "noopener" },
    `Be ${nameOf(role.id)} in a new tab`,
    icon("out"),
  );
}

function faults() {
  if (!store.scenario) return;
  const groups = [
    ["slack", "Slack"],
    ["tables", "Slack refuses tables with"],
    ["postgres", "PostgreSQL"],
  ].map(([where, title]) =>
    h(
      "div",
      { class: "fault-group", role: "group", "aria-label": title },
      h("span", { class: "fault-title" }, title),
      h(
        "div",
        { class: "fault-buttons" },
        store.scenario.faults.filter((each) => each.where === where).map(faultButton),
      ),
    ),
  );
  const lines = store.in_force.length
    ? h("p", { class: "in-force" }, `In force: ${store.in_force.join("; ")}`)
    : null;
  const key = JSON.stringify([store.scenario.faults, store.in_force]);
  if (parts.faults.dataset.key === key) return;
  parts.faults.dataset.key = key;
  const focused = parts.faults.contains(document.activeElement)
    ? document.activeElement.dataset.fault
    : null;
  parts.faults.replaceChildren(...groups, ...(lines ? [lines] : []));
  if (focused) parts.faults.querySelector(`[data-fault="${CSS.escape(focused)}"]`)?.focus();
}

function faultButton(fault) {
  const press = busy((id) => act("fault", { id }));
  return h(
    "button",
    {
      class: "fault",
      type: "button",
      "aria-pressed": String(fault.active),
      "data-fault": fault.id,
      on: { click: (event) => press(event.currentTarget, fault.id) },
    },
    fault.label,
  );
}

function resetButton() {
  const press = busy(() => act("reset"));
  return h(
    "button",
    { class: "reset", type: "button", on: { click: (event) => press(event.currentTarget) } },
    icon("reset"),
    "Reset",
  );
}

function busy(work) {
  return async (button, ...given) => {
    if (button.getAttribute("aria-busy") === "true") return;
    button.setAttribute("aria-busy", "true");
    await work(...given);
    button.removeAttribute("aria-busy");
  };
}

function wire() {
  const lines = store.wire.slice(-LINES).reverse();
  parts.wire.replaceChildren(
    ...lines.map((each) =>
      h(
        "li",
        { class: each.bad ? "bad" : null },
        h("time", {}, time.format(new Date(each.at * 1000))),
        h("span", { class: "wire-what" }, each.what),
        h("span", { class: "wire-said" }, each.said),
      ),
    ),
  );
}
