// Behind the scenes: the login that keeps trying, the guide, what PostgreSQL itself says, the faults
// that a visitor may cause, and what went over the wire.

import { h } from "./dom.js";
import { close } from "./drawers.js";
import { resetButton, startFaults } from "./faults.js";
import { startGuide } from "./guide.js";
import { icon } from "./icons.js";
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
  parts.database = h("span", { class: "database" });
  parts.truth = h("div", { class: "truth" });
  const guide = startGuide();
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
    section("Guide", guide.progress, guide.list),
    section("The truth", parts.database, parts.truth),
    section("Break something", resetButton(), startFaults()),
    section("On the wire", null, parts.wire),
  );
  store.on("snapshot", wire);
  store.on("wire", wire);
  store.on("scenario", draw);
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
