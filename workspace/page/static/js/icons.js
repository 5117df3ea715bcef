// Icons as paths on a grid of 20. They say nothing by themselves: a label always stands beside them.

import { svg } from "./dom.js";

const PATHS = {
  hash: "M8 3 6.5 17M13.5 3 12 17M3.5 7.5h13.5M3 12.5h13.5",
  lock: "M5.5 9h9v7.5h-9zM7.5 9V6.5a2.5 2.5 0 0 1 5 0V9",
  home: "M3 9.5 10 3.5l7 6M5 8.5V16h10V8.5",
  menu: "M3 5.5h14M3 10h14M3 14.5h14",
  close: "M5 5l10 10M15 5 5 15",
  down: "M5.5 8l4.5 4.5L14.5 8",
  back: "M12 5.5L7.5 10l4.5 4.5",
  on: "M8 5.5l4.5 4.5L8 14.5",
  up: "M5.5 12.5L10 8l4.5 4.5",
  warning: "M10 3.5 2.5 16.5h15zM10 8.5v4M10 14.6v.01",
  dots: "M4.5 10h.01M10 10h.01M15.5 10h.01",
  eye: "M2 10s3-5 8-5 8 5 8 5-3 5-8 5-8-5-8-5zM10 12a2 2 0 1 0 0-4 2 2 0 0 0 0 4z",
  send: "M3 10 17 3.5 12.5 17 9.5 11.5zM9.5 11.5 17 3.5",
  check: "M4.5 10.5l3.5 3.5 7.5-8",
  out: "M8 4H4v12h12v-4M11.5 4H16v4.5M16 4l-7 7",
  reset: "M4 10a6 6 0 1 1 2 4.5M4 16v-3.5h3.5",
};

export function icon(name) {
  return svg(
    "svg",
    { viewBox: "0 0 20 20", class: `icon icon-${name}`, "aria-hidden": "true" },
    svg("path", { d: PATHS[name] }),
  );
}
