// Slack's `table`, and what `data_table` shares with it. A wide one scrolls in a place of its own, and
// shows that it does.

import { h } from "./dom.js";
import { richCell } from "./rich_text.js";
import { unknown } from "./unknown.js";

const watcher = new ResizeObserver((entries) => {
  for (const { target } of entries) hint(target);
});

export function table(block) {
  const settings = block.column_settings ?? [];
  const [head, ...body] = block.rows;
  const rows = body.map((row) =>
    h(
      "tr",
      {},
      row.map((each, at) => h("td", { class: look(settings[at]) }, cell(each))),
    ),
  );
  return scrolling(
    { "aria-label": `Table, ${count(body.length, "row")}, ${count(head.length, "column")}` },
    h(
      "table",
      {},
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          head.map((each, at) => heading(each, settings[at])),
        ),
      ),
      h("tbody", {}, rows),
    ),
  );
}

/** A table where it can be scrolled sideways; `name` is the attribute that names the place. */
export function scrolling(name, content) {
  const scroller = h(
    "div",
    {
      class: "table-scroller",
      tabindex: "0",
      role: "region",
      ...name,
      on: { scroll: (event) => hint(event.target) },
    },
    content,
  );
  watcher.observe(scroller);
  return h(
    "div",
    { class: "table" },
    scroller,
    h("p", { class: "table-hint", "aria-hidden": "true" }, "more columns: scroll sideways →"),
  );
}

function heading(each, settings) {
  return h("th", { scope: "col", class: look(settings) }, cell(each));
}

export function cell(each) {
  switch (each.type) {
    case "raw_text":
    case "raw_number":
      return each.text;
    case "rich_text":
      return richCell(each);
    default:
      return unknown(each.type);
  }
}

function look(settings) {
  const align = settings?.align && settings.align !== "left" ? `align-${settings.align}` : "";
  return [align, settings?.is_wrapped ? "wrapped" : ""].filter(Boolean).join(" ") || null;
}

/** Mark a scroller with the sides on which there is more. */
function hint(scroller) {
  const { scrollLeft, scrollWidth, clientWidth } = scroller;
  scroller.style.setProperty("--room", `${clientWidth}px`);
  scroller.parentElement?.classList.toggle("more-left", scrollLeft > 1);
  scroller.parentElement?.classList.toggle(
    "more-right",
    scrollLeft + clientWidth < scrollWidth - 1,
  );
  scroller.parentElement?.classList.toggle("scrolls", scrollWidth > clientWidth + 1);
}

function count(number, thing) {
  return `${number} ${thing}${number === 1 ? "" : "s"}`;
}
