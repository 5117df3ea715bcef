// Slack's `data_table`: people sort it by a column, filter its rows and turn its pages, and the app
// learns nothing of that. A message that is redrawn begins anew.

import { h, newId } from "./dom.js";
import { icon } from "./icons.js";
import { cell, scrolling } from "./table.js";

const PAGE = 5;
const NEXT = { none: "ascending", ascending: "descending", descending: "none" };
const byText = new Intl.Collator("en").compare;

export function dataTable(block) {
  const [head, ...body] = block.rows;
  const size = block.page_size ?? PAGE;
  const named = block.row_header_column_index ?? 0;
  const rows = body.map((cells) => ({ cells, node: row(cells, named) }));
  const shown = { page: 0, words: "", by: 0, order: "none" };
  const id = newId("caption");

  const heads = head.map((each, at) =>
    heading(each, at, () => {
      shown.order = at === shown.by ? NEXT[shown.order] : "ascending";
      shown.by = at;
      shown.page = 0;
      draw();
    }),
  );
  const tbody = h("tbody");
  const scroller = scrolling(
    { "aria-labelledby": id },
    h(
      "table",
      {},
      h("caption", {}, h("span", { id }, block.caption)),
      h("thead", {}, h("tr", {}, heads)),
      tbody,
    ),
  );
  const where = h("span", { role: "status" });
  const back = turn("Previous rows", "back", -1);
  const on = turn("Next rows", "on", 1);
  const filter = h("input", {
    type: "search",
    placeholder: "Filter",
    "aria-label": "Filter rows",
    "data-action": "filter",
    on: {
      input: () => {
        shown.words = filter.value.toLowerCase();
        shown.page = 0;
        draw();
      },
    },
  });

  function turn(label, name, step) {
    return h(
      "button",
      {
        type: "button",
        class: "button turn",
        "aria-label": label,
        "data-action": name,
        on: {
          click: (event) => {
            if (event.currentTarget.getAttribute("aria-disabled") === "true") return;
            shown.page += step;
            draw();
          },
        },
      },
      icon(name),
    );
  }

  function draw() {
    const found = sorted(rows.filter(holds(shown.words)), shown.by, shown.order);
    const first = shown.page * size;
    const some = found.slice(first, first + size);
    tbody.replaceChildren(...some.map((each) => each.node));
    const range = some.length ? `${first + 1}–${first + some.length}` : "0";
    where.textContent = `${range} of ${found.length}`;
    // Not `disabled`: a button that is pressed keeps the focus.
    back.setAttribute("aria-disabled", String(first === 0));
    on.setAttribute("aria-disabled", String(first + size >= found.length));
    heads.forEach((each, at) =>
      each.setAttribute("aria-sort", at === shown.by ? shown.order : "none"),
    );
  }

  draw();
  const bar = rows.length > size && h("div", { class: "data-bar" }, filter, back, where, on);
  return h("div", { class: "data-table" }, scroller, bar);
}

function row(cells, named) {
  return h(
    "tr",
    {},
    cells.map((each, at) =>
      h(at === named ? "th" : "td", at === named ? { scope: "row" } : {}, cell(each)),
    ),
  );
}

function heading(each, at, press) {
  const button = { type: "button", "data-action": `sort-${at}`, on: { click: press } };
  return h("th", { scope: "col" }, h("button", button, cell(each), icon("up")));
}

function holds(words) {
  return ({ node }) => !words || node.textContent.toLowerCase().includes(words);
}

/** By value if all cells of the column are numbers, or else by text, as Slack does. */
function sorted(rows, at, order) {
  if (order === "none") return rows;
  const numbers = rows.every(({ cells }) => cells[at].type === "raw_number");
  const compare = numbers
    ? (a, b) => a.cells[at].value - b.cells[at].value
    : (a, b) => byText(a.node.cells[at].textContent, b.node.cells[at].textContent);
  const way = order === "ascending" ? 1 : -1;
  return rows.toSorted((a, b) => way * compare(a, b));
}
