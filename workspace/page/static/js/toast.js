// A line that says what went wrong, and goes by itself.

const SECONDS = 6;
let timer = null;

export function toast(text) {
  const place = document.getElementById("toast");
  place.textContent = text;
  place.hidden = false;
  clearTimeout(timer);
  timer = setTimeout(() => {
    place.hidden = true;
  }, SECONDS * 1000);
}
