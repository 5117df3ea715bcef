// Slack's own dialog before a click goes out.

import { h, newId } from "./dom.js";
import { plain, text } from "./text.js";

/** Ask; true if they agree. Escape, and a press beside the dialog, turn it down. */
export function confirm(asked) {
  const title = newId("confirm-title");
  const words = newId("confirm-text");
  const deny = h(
    "button",
    { class: "button", type: "button" },
    plain(asked.deny ?? said("Cancel")),
  );
  const agree = h(
    "button",
    { class: `button ${asked.style ?? "primary"}`, type: "button" },
    plain(asked.confirm ?? said("Yes")),
  );
  const dialog = h(
    "dialog",
    { class: "confirm", role: "alertdialog", "aria-labelledby": title, "aria-describedby": words },
    h("h2", { id: title }, plain(asked.title)),
    h("div", { id: words, class: "confirm-text" }, text(asked.text)),
    h("div", { class: "dialog-buttons" }, deny, agree),
  );
  return new Promise((resolve) => {
    deny.addEventListener("click", () => dialog.close("deny"));
    agree.addEventListener("click", () => dialog.close("agree"));
    dialog.addEventListener("click", (event) => {
      if (event.target === dialog) dialog.close("deny");
    });
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "agree");
    });
    document.body.append(dialog);
    dialog.showModal();
    // The safe answer is the one that a hasty Enter gives.
    deny.focus();
  });
}

function said(words) {
  return { type: "plain_text", text: words, emoji: false };
}
