// What can be pressed and chosen in a message or a modal.
//
// A `place` is where a block stands. `place.value(block, element)` is what its person has put in,
// `place.keep(block, element, given)` takes note of it, and `place.press(block, element, given)`
// sends a click and is done once Slack has the app's answer. What is `given` is a text, an option's
// value, a list of such, or null.

import { confirm } from "./confirm.js";
import { h, newId } from "./dom.js";
import { icon } from "./icons.js";
import { openMenu } from "./menu.js";
import { store } from "./store.js";
import { plain, text } from "./text.js";
import { unknown } from "./unknown.js";

const HOLDERS = {
  checkboxes: ticks,
  conversations_select: select,
  datepicker: picker,
  radio_buttons: ticks,
  static_select: select,
  timepicker: picker,
};
const PICKERS = { datepicker: "date", timepicker: "time" };

/** An element that acts as soon as it is used: in an actions block, or beside a section. */
export function control(block, element, place) {
  if (element.type === "button") return button(block, element, place);
  if (element.type === "overflow") return overflow(block, element, place);
  const changed = async (given, node) => {
    const sent = await pressed(node, block, element, place, given);
    if (sent) place.keep(block, element, given);
    return sent;
  };
  return holder(element, place.value(block, element), changed, { "aria-label": labelOf(element) });
}

/** An element that holds a value. `changed` gets each new one; false puts the old one back. */
export function holder(element, value, changed, labels) {
  const draw = HOLDERS[element.type];
  return draw ? draw(element, value, changed, labels) : unknown(element.type);
}

/** What an element begins with, in the shape that a place gives. */
export function initial(element) {
  return (
    element.initial_option?.value ??
    element.initial_options?.map((each) => each.value) ??
    element.initial_conversation ??
    element.initial_date ??
    element.initial_time ??
    element.initial_value ??
    null
  );
}

/** What Slack's state says stands in an element. */
export function givenIn(state) {
  const { type, ...held } = state;
  const [value] = Object.values(held);
  if (Array.isArray(value)) return value.map((each) => each.value);
  return value?.value ?? value ?? null;
}

/** Ask first where the app wants it, and send; true if it was sent. */
async function pressed(node, block, element, place, given = null) {
  if (node.getAttribute("aria-busy") === "true") return false;
  if (element.confirm && !(await confirm(element.confirm))) return false;
  node.setAttribute("aria-busy", "true");
  const sent = await place.press(block, element, given);
  node.removeAttribute("aria-busy");
  return sent;
}

function button(block, element, place) {
  const props = {
    class: `button ${element.style ?? ""}`.trim(),
    "data-action": element.action_id,
    "aria-label": element.accessibility_label,
    on: { click: (event) => pressed(event.currentTarget, block, element, place) },
  };
  const words = h("span", { class: "button-text" }, plain(element.text));
  if (element.url && /^https?:/i.test(element.url)) {
    return h(
      "a",
      { ...props, href: element.url, target: "_blank", rel: "noopener noreferrer" },
      words,
    );
  }
  return h("button", { ...props, type: "button" }, words);
}

function overflow(block, element, place) {
  const open = (event) => {
    const anchor = event.currentTarget;
    openMenu(anchor, options(element), {
      role: "menu",
      label: "More actions",
      pick: ({ value }) => pressed(anchor, block, element, place, value),
    });
  };
  return h(
    "span",
    { class: "control" },
    h(
      "button",
      {
        class: "button overflow",
        type: "button",
        "aria-label": "More actions",
        "aria-haspopup": "menu",
        "aria-expanded": "false",
        "data-action": element.action_id,
        on: { click: open },
      },
      icon("dots"),
    ),
  );
}

function select(element, value, changed, labels) {
  const all = options(element);
  const shown = h("span", { class: "select-text", id: newId("shown") });
  let current = value;
  const draw = () => {
    const option = all.find((each) => each.value === current);
    shown.textContent = option ? option.text : labelOf(element);
    shown.classList.toggle("placeholder", !option);
  };
  const pick = async ({ value: picked }) => {
    if (picked === current) return;
    const before = current;
    current = picked;
    draw();
    if ((await changed(picked, anchor)) === false) {
      current = before;
      draw();
    }
  };
  const anchor = h(
    "button",
    {
      ...labels,
      class: "button select",
      type: "button",
      "aria-haspopup": "listbox",
      "aria-expanded": "false",
      "data-action": element.action_id,
      on: {
        click: () =>
          openMenu(anchor, all, {
            role: "listbox",
            label: labelOf(element),
            selected: current,
            pick,
          }),
        keydown: (event) => {
          if (["ArrowDown", "ArrowUp"].includes(event.key)) {
            event.preventDefault();
            anchor.click();
          }
        },
      },
    },
    shown,
    icon("down"),
  );
  if (labels["aria-labelledby"])
    anchor.setAttribute("aria-labelledby", `${labels["aria-labelledby"]} ${shown.id}`);
  else anchor.removeAttribute("aria-label");
  draw();
  return h("span", { class: "control" }, anchor);
}

function ticks(element, value, changed, labels) {
  const many = element.type === "checkboxes";
  const name = newId("ticks");
  const before = many ? (value ?? []) : [value];
  const boxes = options(element).map((option) => {
    const input = h("input", {
      type: many ? "checkbox" : "radio",
      name,
      "data-action": element.action_id,
    });
    input.value = option.value;
    input.checked = before.includes(option.value);
    const label = h(
      "label",
      { class: "tick" },
      input,
      h("span", {}, text(option.source), option.describe && h("small", {}, text(option.describe))),
    );
    return { input, label };
  });
  const group = h(
    "div",
    { ...labels, class: "ticks", role: many ? "group" : "radiogroup" },
    boxes.map((each) => each.label),
  );
  group.addEventListener("change", () => {
    const given = boxes.filter((each) => each.input.checked).map((each) => each.input.value);
    changed(many ? given : (given[0] ?? null), group);
  });
  return group;
}

function picker(element, value, changed, labels) {
  const input = h("input", {
    ...labels,
    class: "text-input",
    type: PICKERS[element.type],
    "data-action": element.action_id,
    on: { change: () => changed(input.value || null, input) },
  });
  input.value = value ?? "";
  return input;
}

/** The conversations of this person, of the kinds that the app wants. */
function conversations(element) {
  const kinds = element.filter?.include ?? ["public", "private", "mpim", "im"];
  return store.channels
    .filter((each) => kinds.includes(each.kind))
    .map((each) => ({
      text: each.direct ? store.title(each) : `#${each.name}`,
      value: each.id,
      group: null,
    }));
}

function options(element) {
  if (element.type === "conversations_select") return conversations(element);
  const grouped = (element.option_groups ?? []).flatMap((group) =>
    group.options.map((option) => ({ option, group: plain(group.label) })),
  );
  const loose = (element.options ?? []).map((option) => ({ option, group: null }));
  return [...loose, ...grouped].map(({ option, group }) => ({
    text: plain(option.text),
    source: option.text,
    describe: option.description,
    description: option.description && plain(option.description),
    value: option.value,
    group,
  }));
}

function labelOf(element) {
  return element.placeholder ? plain(element.placeholder) : "Choose";
}
