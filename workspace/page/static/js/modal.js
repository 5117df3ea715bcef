// Modals: the view on top of the person's stack, as a dialog. It follows every change of the view.

import { act } from "./api.js";
import { blocks } from "./blocks.js";
import { h } from "./dom.js";
import { icon } from "./icons.js";
import { viewPlace } from "./places.js";
import { store } from "./store.js";
import { plain } from "./text.js";

let dialog = null;
let shown = null;
const places = new Map();

export function startModals() {
  store.on("views", draw);
  store.on("snapshot", draw);
}

function draw() {
  for (const id of places.keys()) {
    if (!store.views.some((view) => view.id === id)) places.delete(id);
  }
  const view = store.views.at(-1);
  if (!view) {
    close();
    return;
  }
  const key = JSON.stringify([view.id, view.hash, view.errors]);
  if (key === shown) return;
  const isOther = !shown || JSON.parse(shown)[0] !== view.id;
  shown = key;
  if (!places.has(view.id)) places.set(view.id, viewPlace(view.id));
  const place = places.get(view.id);
  place.update(view);
  open();
  const focused = dialog.contains(document.activeElement)
    ? document.activeElement.dataset.action
    : null;
  dialog.replaceChildren(form(view, place));
  focus(isOther ? null : focused);
}

function open() {
  if (dialog) return;
  dialog = h("dialog", { class: "modal", "aria-labelledby": "modal-title" });
  dialog.addEventListener("cancel", (event) => {
    // Slack's word decides when it closes.
    event.preventDefault();
    const view = store.views.at(-1);
    if (view && event.target === dialog) act("modal/close", { view: view.id });
  });
  document.body.append(dialog);
  dialog.showModal();
}

function close() {
  shown = null;
  dialog?.close();
  dialog?.remove();
  dialog = null;
}

/** To what was focused before, by its action_id, or the first thing to fill in, or the title. */
function focus(action) {
  const again = action && dialog.querySelector(`[data-action="${CSS.escape(action)}"]`);
  const wrong = dialog.querySelector("[aria-invalid]");
  const first = dialog.querySelector(".input :is(input, textarea, button)");
  (wrong ?? again ?? first ?? dialog.querySelector("h2")).focus();
}

function form(view, place) {
  const { body } = view;
  const busy =
    (button, what, more = {}) =>
    async () => {
      button.setAttribute("aria-busy", "true");
      await act(what, { view: view.id, ...more });
      button.removeAttribute("aria-busy");
    };
  const cross = h(
    "button",
    { class: "icon-button", type: "button", "aria-label": "Close" },
    icon("close"),
  );
  cross.addEventListener("click", busy(cross, "modal/close"));
  const leave = h(
    "button",
    { class: "button", type: "button" },
    body.close ? plain(body.close) : "Close",
  );
  leave.addEventListener("click", busy(leave, "modal/close"));
  const submit =
    body.submit && h("button", { class: "button primary", type: "submit" }, plain(body.submit));
  const made = h(
    "form",
    { class: "modal-form", novalidate: true },
    h(
      "header",
      { class: "modal-head" },
      h("h2", { id: "modal-title", tabindex: "-1" }, plain(body.title)),
      cross,
    ),
    h(
      "div",
      { class: "modal-body", tabindex: "0", role: "region", "aria-labelledby": "modal-title" },
      view.errors[""] && h("p", { class: "alert error", role: "alert" }, view.errors[""]),
      blocks(body.blocks, place),
    ),
    h("footer", { class: "dialog-buttons" }, leave, submit),
  );
  made.addEventListener("submit", (event) => {
    event.preventDefault();
    if (submit) busy(submit, "modal/submit", { values: place.values })();
  });
  return made;
}
