// On a narrow screen the sidebar and the panel are drawers over the channel; on a wide one they stand
// beside it, and the panel can be folded away.

const SIDE = {
  sidebar: matchMedia("(max-width: 720px)"),
  panel: matchMedia("(max-width: 1100px)"),
};
let opener = null;

function app() {
  return document.getElementById("app");
}

function isOpen(name) {
  return SIDE[name].matches
    ? app().dataset.drawer === name
    : !app().classList.contains(`no-${name}`);
}

/** Open or fold a drawer. `button` gets the focus back when it closes. */
export function toggle(name, button) {
  if (!SIDE[name].matches) {
    app().classList.toggle(`no-${name}`);
    settle();
  } else if (isOpen(name)) {
    close();
  } else {
    opener = button;
    app().dataset.drawer = name;
    settle();
    document.querySelector(`#${name} :is(a, button, summary, [tabindex="0"])`)?.focus();
  }
}

export function close() {
  if (!app().dataset.drawer) return;
  delete app().dataset.drawer;
  settle();
  opener?.focus();
  opener = null;
}

/** An open drawer is a dialog: what lies behind it can't be reached. */
export function settle() {
  const drawer = app().dataset.drawer;
  for (const name of Object.keys(SIDE)) {
    const place = document.getElementById(name);
    if (drawer === name) {
      place.setAttribute("role", "dialog");
      place.setAttribute("aria-modal", "true");
      place.setAttribute("aria-label", place.dataset.label);
    } else {
      for (const attribute of ["role", "aria-modal", "aria-label"])
        place.removeAttribute(attribute);
    }
  }
  document.getElementById("channel").inert = Boolean(drawer);
  for (const button of document.querySelectorAll("[data-opens]")) {
    button.setAttribute("aria-expanded", String(isOpen(button.dataset.opens)));
  }
}

/** Whether a modal, a dialog or a menu is open: Escape is theirs. */
export function isSomethingOnTop() {
  return document.querySelector("dialog[open], [popover]:popover-open") !== null;
}

export function startDrawers() {
  for (const query of Object.values(SIDE)) {
    query.addEventListener("change", () => {
      delete app().dataset.drawer;
      settle();
    });
  }
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !event.defaultPrevented && !isSomethingOnTop()) close();
  });
  app().addEventListener("click", (event) => {
    if (event.target === app()) close();
  });
  settle();
}
