// What a visitor may break: the buttons in the panel, and above the composer what is broken now, so
// that nobody takes it for the bot's own fault.

import { act } from "./api.js";
import { h } from "./dom.js";
import { icon } from "./icons.js";
import { store } from "./store.js";

const GROUPS = [
  ["slack", "Slack"],
  ["tables", "Slack refuses tables"],
  ["postgres", "PostgreSQL"],
  ["incidents", "Incidents"],
];

let buttons;
let strip;

export function startFaults() {
  buttons = h("div", { class: "faults" });
  strip = document.getElementById("broken");
  store.on("scenario", draw);
  return buttons;
}

function draw() {
  const { faults } = store.scenario;
  const key = JSON.stringify(faults);
  if (buttons.dataset.key === key) return;
  buttons.dataset.key = key;
  keepingFocus(buttons, () =>
    buttons.replaceChildren(
      ...GROUPS.map(([where, title]) =>
        group(
          title,
          faults.filter((each) => each.where === where),
        ),
      ),
    ),
  );
  // An incident is the bot's to tell.
  const active = faults.filter((each) => each.active && each.where !== "incidents");
  keepingFocus(strip, () => strip.replaceChildren(...active.map(broken)));
  strip.hidden = active.length === 0;
}

function keepingFocus(place, redraw) {
  const id = place.contains(document.activeElement) ? document.activeElement.dataset.fault : null;
  redraw();
  if (id) place.querySelector(`[data-fault="${CSS.escape(id)}"]`)?.focus();
}

function group(title, faults) {
  return h(
    "div",
    { class: "fault-group", role: "group", "aria-label": title },
    h("span", { class: "fault-title" }, title),
    h("div", { class: "fault-buttons" }, faults.map(button)),
    faults.filter((each) => each.active).map((each) => h("p", { class: "effect" }, each.effect)),
  );
}

/** One that can be ended looks like a switch; one that ends by itself does not. */
function button(fault) {
  return h(
    "button",
    {
      class: fault.can_end ? "fault switch" : "fault",
      type: "button",
      "aria-pressed": fault.can_end ? String(fault.active) : null,
      "data-fault": fault.id,
      title: fault.effect,
      on: { click: (event) => press(event.currentTarget, fault.id) },
    },
    fault.label,
  );
}

function broken(fault) {
  return h(
    "p",
    {},
    icon("warning"),
    h("span", {}, fault.effect),
    fault.can_end &&
      h(
        "button",
        {
          class: "mend",
          type: "button",
          "data-fault": fault.id,
          on: { click: (event) => press(event.currentTarget, fault.id) },
        },
        "End it",
      ),
  );
}

const press = busy((id) => act("fault", { id }));

export function resetButton() {
  const reset = busy(async () => {
    await act("reset");
    document.getElementById("panel").scrollTop = 0; // where the guide begins anew
  });
  return h(
    "button",
    { class: "reset", type: "button", on: { click: (event) => reset(event.currentTarget) } },
    icon("reset"),
    "Reset",
  );
}

function busy(work) {
  return async (node, ...given) => {
    if (node.getAttribute("aria-busy") === "true") return;
    node.setAttribute("aria-busy", "true");
    await work(...given);
    node.removeAttribute("aria-busy");
  };
}
