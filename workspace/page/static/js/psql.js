// pg_stat_activity as psql prints it, line by line, so that what comes and goes can be seen.

import { h } from "./dom.js";

const GONE_FOR = 2500;
const NUMBER = /^-?\d+(\.\d+)?$/;

let known = null;

export function psql(place, { columns, rows }) {
  const key = JSON.stringify([columns, rows]);
  if (place.dataset.key === key) return;
  place.dataset.key = key;
  const texts = rows.map((row) => row.map((cell) => (cell ?? "").replace(/\s+/g, " ")));
  const identity = (row) => row[Math.max(0, columns.indexOf("pid"))];
  const now = new Map(texts.map((row) => [identity(row), row]));
  const past = known ?? now;
  const gone = [...past].filter(([id]) => !now.has(id)).map(([, row]) => row);
  const isNew = (row) => !past.has(identity(row));
  known = now;

  const all = [...texts, ...gone];
  const widths = columns.map((name, at) =>
    Math.max(name.length, ...all.map((row) => row[at].length)),
  );
  const right = columns.map(
    (_, at) =>
      texts.some((row) => row[at]) && texts.every((row) => !row[at] || NUMBER.test(row[at])),
  );
  const line = (row) =>
    row
      .map((cell, at) => ` ${right[at] ? cell.padStart(widths[at]) : cell.padEnd(widths[at])} `)
      .join("|")
      .trimEnd();
  const head = columns.map((name, at) => ` ${centred(name, widths[at])} `).join("|");
  const rule = widths.map((width) => "-".repeat(width + 2)).join("+");
  const print = h(
    "pre",
    { tabindex: "0", role: "region", "aria-label": "pg_stat_activity, as psql prints it" },
    h("span", { class: "psql-head" }, `${head}\n${rule}\n`),
    texts.map((row) =>
      h("span", { class: isNew(row) ? "psql-row new" : "psql-row" }, `${line(row)}\n`),
    ),
    gone.map((row) =>
      h("span", { class: "psql-row gone", "aria-hidden": "true" }, `${line(row)}\n`),
    ),
    `(${texts.length} ${texts.length === 1 ? "row" : "rows"})`,
  );
  const before = place.querySelector("pre");
  const [left, top] = [before?.scrollLeft ?? 0, before?.scrollTop ?? 0];
  const focused = document.activeElement === before && before !== null;
  place.replaceChildren(print);
  print.scrollTo(left, top);
  if (focused) print.focus();
  setTimeout(() => {
    for (const row of print.querySelectorAll(".gone")) row.remove();
  }, GONE_FOR);
}

function centred(text, width) {
  const left = Math.floor((width - text.length) / 2);
  return " ".repeat(left) + text + " ".repeat(width - text.length - left);
}
