// The list that a select or an overflow menu opens: arrows, Home, End, Enter, Escape, and typing
// the first letters. Not a native select, whose arrow keys would choose, and so act, while closed.

import { h } from "./dom.js";

const TYPING = 700;
const GAP = 4;

/**
 * Open a list under `anchor`. `items` are {text, description, value, group}; `role` is `listbox` or
 * `menu`; `pick` gets the item. Focus comes back to the anchor when the list closes.
 */
export function openMenu(anchor, items, { role, label, selected, pick }) {
  const itemRole = role === "listbox" ? "option" : "menuitem";
  const nodes = items.map((item) =>
    h(
      "div",
      {
        class: "menu-item",
        role: itemRole,
        tabindex: "-1",
        "aria-selected": role === "listbox" ? String(item.value === selected) : null,
        on: { click: () => choose(item) },
      },
      h("span", { class: "menu-text" }, item.text),
      item.description && h("span", { class: "menu-description" }, item.description),
    ),
  );
  const list = h(
    "div",
    { class: "menu", popover: "auto", role, "aria-label": label },
    grouped(items, nodes),
  );
  let typed = "";
  let typedAt = 0;

  function choose(item) {
    list.hidePopover();
    pick(item);
  }

  function move(to) {
    nodes[(to + nodes.length) % nodes.length].focus();
  }

  function search(key) {
    typed = Date.now() - typedAt > TYPING ? key : typed + key;
    typedAt = Date.now();
    const at = items.findIndex((item) => item.text.toLowerCase().startsWith(typed.toLowerCase()));
    if (at >= 0) move(at);
  }

  list.addEventListener("keydown", (event) => {
    const at = nodes.indexOf(document.activeElement);
    const keys = {
      ArrowDown: () => move(at + 1),
      ArrowUp: () => move(at < 0 ? -1 : at - 1),
      Home: () => move(0),
      End: () => move(-1),
      Enter: () => at >= 0 && choose(items[at]),
      Tab: () => list.hidePopover(),
    };
    if (event.key === " " && !typed) keys[" "] = keys.Enter;
    if (keys[event.key]) {
      if (event.key !== "Tab") event.preventDefault();
      keys[event.key]();
    } else if (event.key.length === 1 && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      search(event.key);
    }
  });
  list.addEventListener("toggle", (event) => {
    if (event.newState !== "closed") return;
    document.removeEventListener("scroll", scrolled, true);
    anchor.setAttribute("aria-expanded", "false");
    if (list.contains(document.activeElement) || document.activeElement === document.body)
      anchor.focus();
    list.remove();
  });
  const scrolled = (event) => {
    if (!list.contains(event.target)) put(list, anchor);
  };

  anchor.parentElement.append(list);
  anchor.setAttribute("aria-expanded", "true");
  list.showPopover();
  put(list, anchor);
  document.addEventListener("scroll", scrolled, true);
  move(
    Math.max(
      0,
      items.findIndex((item) => item.value === selected),
    ),
  );
}

function grouped(items, nodes) {
  return nodes.map((node, at) => {
    const heads = items[at].group && items[at].group !== items[at - 1]?.group;
    return [
      heads && h("div", { class: "menu-group", role: "presentation" }, items[at].group),
      node,
    ];
  });
}

/** Under the anchor, or above it where there is more room. */
function put(list, anchor) {
  const box = anchor.getBoundingClientRect();
  const above = box.top - 2 * GAP;
  const below = innerHeight - box.bottom - 2 * GAP;
  const up = below < Math.min(list.scrollHeight, 240) && above > below;
  list.style.maxHeight = `${Math.min(up ? above : below, 320)}px`;
  list.style.minWidth = `${Math.max(box.width, 180)}px`;
  const left = Math.max(GAP, Math.min(box.left, innerWidth - list.offsetWidth - GAP));
  list.style.left = `${left}px`;
  list.style.top = `${up ? box.top - GAP - list.offsetHeight : box.bottom + GAP}px`;
}
