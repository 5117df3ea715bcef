// How everything on the page is made. Text goes in as text nodes and there is no other way in: no
// markup is ever parsed, so nothing that somebody typed or named can become an element.

/** An element. `props` are attributes; `on` holds listeners; null and false leave one out. */
export function h(tag, props = {}, ...children) {
  return filled(document.createElement(tag), props, children);
}

/** An element of SVG. */
export function svg(tag, props = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", tag), props, children);
}

/** Nodes and texts as one piece. */
export function fragment(...children) {
  const made = document.createDocumentFragment();
  add(made, children);
  return made;
}

function filled(element, props, children) {
  for (const [name, value] of Object.entries(props)) {
    if (name === "on") {
      for (const [event, listener] of Object.entries(value))
        element.addEventListener(event, listener);
    } else if (value !== null && value !== undefined && value !== false) {
      element.setAttribute(name, value === true ? "" : String(value));
    }
  }
  add(element, children);
  return element;
}

function add(parent, children) {
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false) parent.append(child);
  }
}

let last = 0;

/** An id that no other element has. */
export function newId(stem) {
  last += 1;
  return `${stem}-${last}`;
}
