// Block Kit: each kind of block as nodes. `place` says where the block stands: see elements.js.

import { dataTable } from "./data_table.js";
import { h } from "./dom.js";
import { control } from "./elements.js";
import { input } from "./inputs.js";
import { richText } from "./rich_text.js";
import { table } from "./table.js";
import { plain, text } from "./text.js";
import { unknown } from "./unknown.js";

const DRAWN = {
  actions: (block, place) =>
    h(
      "div",
      { class: "actions" },
      block.elements.map((each) => control(block, each, place)),
    ),
  alert: (block) => h("p", { class: `alert ${block.level ?? "default"}` }, text(block.text)),
  context: (block) => h("div", { class: "context" }, block.elements.map(small)),
  data_table: dataTable,
  divider: () => h("hr"),
  header: (block) => h("h2", { class: "header" }, plain(block.text)),
  image: (block) => h("p", { class: "picture" }, `Image: ${block.alt_text}`),
  input,
  rich_text: richText,
  section,
  table,
};

export function blocks(list, place) {
  return list.map((block) => {
    const draw = DRAWN[block.type];
    const node = draw ? draw(block, place) : unknown(block.type);
    return h("div", { class: `block block-${block.type}`, "data-block": block.block_id }, node);
  });
}

function section(block, place) {
  return h(
    "div",
    { class: "section" },
    h(
      "div",
      { class: "section-text" },
      block.text && h("p", {}, text(block.text)),
      block.fields &&
        h(
          "div",
          { class: "fields" },
          block.fields.map((each) => h("p", {}, text(each))),
        ),
    ),
    block.accessory && h("div", { class: "accessory" }, control(block, block.accessory, place)),
  );
}

function small(each) {
  if (each.type === "image") return h("span", { class: "picture" }, each.alt_text);
  return h("span", {}, text(each));
}
