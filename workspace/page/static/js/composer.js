// The composer: messages and commands, with completion, usage hints, and history by arrow-up.

import { act } from "./api.js";
import { h } from "./dom.js";
import { icon } from "./icons.js";
import { store } from "./store.js";

const KEPT = 50;
const TALLEST = 160;

let box;
let field;
let offers;
let usage;
let send;
let chosen = 0;
let back = 0;
let draft = "";

export function startComposer() {
  offers = h("div", {
    class: "offers",
    id: "offers",
    role: "listbox",
    "aria-label": "Commands",
    hidden: true,
  });
  usage = h("p", { class: "usage", id: "usage", hidden: true });
  field = h("textarea", {
    id: "say",
    rows: "1",
    "aria-autocomplete": "list",
    "aria-controls": "offers",
    "aria-describedby": "usage",
    autocomplete: "off",
    autocapitalize: "off",
    spellcheck: "false",
    enterkeyhint: "send",
    on: { input: changed, keydown: key },
  });
  send = h(
    "button",
    { class: "send", type: "submit", "aria-label": "Send", title: "Send" },
    icon("send"),
  );
  box = h(
    "form",
    { class: "composer", on: { submit: (event) => (event.preventDefault(), say()) } },
    offers,
    usage,
    h("div", { class: "composer-box" }, field, send),
  );
  store.on("snapshot", place);
  store.on("place", place);
}

/** Write a text into the box, for its person to send. */
export function propose(text) {
  field.value = text;
  changed();
  field.focus();
  field.setSelectionRange(text.length, text.length);
}

function place() {
  if (!store.ready) return;
  const foot = document.getElementById("channel-foot");
  const { channel } = store;
  if (channel?.joined && channel.may_post) {
    const where = channel.direct ? store.title(channel) : `#${channel.name}`;
    const words = store.thread ? "Reply…" : `Message ${where}`;
    field.placeholder = words;
    field.setAttribute("aria-label", words);
    if (!foot.contains(box)) {
      foot.replaceChildren(box);
      if (matchMedia("(hover: hover) and (min-width: 721px)").matches)
        field.focus({ preventScroll: true });
    }
    changed();
  } else {
    foot.replaceChildren(
      h(
        "p",
        { class: "not-in" },
        channel ? whyNot(channel) : "",
      ),
    );
  }
}

function whyNot(channel) {
  return channel.joined
    ? `Only some may post in #${channel.name}: you may read it, and press its buttons.`
    : `You are not in #${channel.name}: you may read it.`;
}

async function say() {
  const text = field.value.trim();
  if (!text) return;
  remember(text);
  field.value = "";
  back = 0;
  changed();
  const thread = store.thread ? { thread: store.thread } : {};
  const sent = await act("say", { channel: store.channel.id, text, ...thread });
  if (!sent && !field.value) propose(text);
}

function changed() {
  field.style.height = "auto";
  field.style.height = `${Math.min(field.scrollHeight, TALLEST)}px`;
  send.disabled = !field.value.trim();
  chosen = 0;
  draw();
}

function matching() {
  const text = field.value;
  if (!/^\/\S*$/.test(text)) return [];
  return store.commands.filter((each) => each.name.startsWith(text) && each.name !== text);
}

function draw() {
  const found = matching();
  offers.hidden = found.length === 0;
  offers.replaceChildren(...found.map(offer));
  if (found.length) field.setAttribute("aria-activedescendant", `offer-${chosen}`);
  else field.removeAttribute("aria-activedescendant");
  const typed = store.commands.find((each) => field.value.split(/\s/, 1)[0] === each.name);
  usage.hidden = !typed;
  usage.replaceChildren(...(typed ? [h("b", {}, typed.name), ` ${typed.usage_hint}`] : []));
}

function offer(command, at) {
  return h(
    "div",
    {
      class: "offer",
      id: `offer-${at}`,
      role: "option",
      "aria-selected": String(at === chosen),
      on: { mousedown: (event) => (event.preventDefault(), complete(command)) },
    },
    h(
      "span",
      { class: "offer-name" },
      h("b", {}, command.name),
      " ",
      h("span", {}, command.usage_hint),
    ),
    h("span", { class: "offer-words" }, command.description),
  );
}

function complete(command) {
  propose(`${command.name} `);
}

function key(event) {
  if (event.isComposing) return;
  const found = matching();
  if (found.length && offering(event, found)) {
    event.preventDefault();
  } else if (event.key === "Enter" && !event.shiftKey) {
    event.preventDefault();
    say();
  } else if (event.key === "ArrowUp" && mayRecall()) {
    event.preventDefault();
    recall(1);
  } else if (event.key === "ArrowDown" && back > 0) {
    event.preventDefault();
    recall(-1);
  } else if (event.key === "Escape" && field.value) {
    event.preventDefault();
    event.stopPropagation();
    back = 0;
    propose("");
  }
}

function offering(event, found) {
  switch (event.key) {
    case "ArrowDown":
    case "ArrowUp":
      chosen = (chosen + (event.key === "ArrowDown" ? 1 : -1) + found.length) % found.length;
      draw();
      return true;
    case "Enter":
    case "Tab":
      if (event.shiftKey) return false;
      complete(found[chosen]);
      return true;
    default:
      return false;
  }
}

// History: what this person has sent from this browser.

function mayRecall() {
  return back > 0 || field.value === "";
}

function recall(step) {
  const all = history();
  const to = Math.max(0, Math.min(all.length, back + step));
  if (back === 0) draft = field.value;
  back = to;
  propose(to ? all[all.length - to] : draft);
}

function history() {
  try {
    return JSON.parse(sessionStorage.getItem(`said-${store.me}`)) ?? [];
  } catch {
    return [];
  }
}

function remember(text) {
  const before = history().filter((each) => each !== text);
  sessionStorage.setItem(`said-${store.me}`, JSON.stringify([...before, text].slice(-KEPT)));
}
