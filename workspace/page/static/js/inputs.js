// Input blocks: a label, what holds the value, a hint, and what is wrong with it.

import { h, newId } from "./dom.js";
import { holder } from "./elements.js";
import { plain } from "./text.js";

const TYPED = {
  plain_text_input: "text",
  number_input: "number",
  email_text_input: "email",
  url_text_input: "url",
};

export function input(block, place) {
  const { element } = block;
  const label = newId("label");
  const hint = newId("hint");
  const error = place.error?.(block);
  const labels = {
    "aria-labelledby": label,
    "aria-describedby": block.hint || error ? hint : null,
    "aria-invalid": error ? "true" : null,
    "aria-required": TYPED[element.type] && !block.optional ? "true" : null,
  };
  const changed = async (given) => {
    place.keep(block, element, given);
    return block.dispatch_action ? place.press(block, element, given) : true;
  };
  const draw = TYPED[element.type] ? typed : holder;
  return h(
    "div",
    { class: error ? "input wrong" : "input" },
    h(
      "label",
      { class: "input-label", id: label },
      plain(block.label),
      block.optional && h("span", { class: "optional" }, " (optional)"),
    ),
    draw(element, place.value(block, element), changed, labels),
    h(
      "p",
      { class: "input-hint", id: hint },
      error && h("span", { class: "input-error" }, error),
      !error && block.hint && plain(block.hint),
    ),
  );
}

function typed(element, value, changed, labels) {
  const props = {
    ...labels,
    class: "text-input",
    placeholder: element.placeholder && plain(element.placeholder),
    maxlength: element.max_length,
    "data-action": element.action_id,
    autocomplete: "off",
  };
  const made = element.multiline
    ? h("textarea", { ...props, rows: "4" })
    : h("input", { ...props, type: TYPED[element.type] });
  made.value = value ?? "";
  made.addEventListener("input", () => changed(made.value || null));
  return made;
}
