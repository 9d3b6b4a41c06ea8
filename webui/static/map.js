// The map's dots as links: one link goes to the dot under the pointer, or by arrow keys from dot to dot.
import { announce } from "./results.js";

const NEAR = 14, WAIT = 250; // units of the drawing; milliseconds before a name is asked for

export async function watchMap() {
  const host = document.querySelector("[data-dots]");
  if (!host) return;
  const response = await fetch(host.dataset.dots).catch(() => null);
  const { items, spots } = response?.ok ? await response.json() : { items: [], spots: [] };
  if (!items.length) return;
  const svg = host.querySelector("svg"), { width, height } = svg.viewBox.baseVal;
  const link = document.createElement("a"), image = document.createElement("img");
  link.className = "spot";
  link.append(image);
  image.addEventListener("error", () => { image.hidden = true; });
  for (const tile of svg.querySelectorAll("a")) tile.setAttribute("tabindex", -1); // the link goes to them too
  let here = nearest(spots, width / 2, height / 2, Infinity), asked = 0;

  const show = (at, picture) => {
    here = at;
    const [x, y] = spots[at];
    link.href = `/items/${items[at]}`;
    link.style.left = `${(100 * x) / width}%`;
    link.style.top = `${(100 * y) / height}%`;
    link.classList.toggle("low", y < height / 3);
    image.hidden = !picture;
    image.alt = link.ariaLabel = `Picture ${items[at]}`;
    if (!picture) return;
    image.src = `/thumbs/${items[at]}`;
    clearTimeout(asked);
    asked = setTimeout(() => name(at), WAIT);
  };
  const name = async (at) => {
    const item = await fetch(`/api/v1/items/${items[at]}`).then((answer) => (answer.ok ? answer.json() : null), () => null);
    if (at !== here || !item) return;
    image.alt = link.ariaLabel = item.captions[0]?.text ?? item.path;
    if (document.activeElement === link) announce(link.ariaLabel);
  };
  host.addEventListener("pointermove", (event) => {
    if (event.target.closest("svg a, .spot")) return;
    const { left, top, width: wide, height: high } = svg.getBoundingClientRect();
    const at = nearest(spots, ((event.clientX - left) / wide) * width, ((event.clientY - top) / high) * height, NEAR);
    if (at >= 0 && (at !== here || image.hidden)) show(at, true);
    else if (at < 0 && document.activeElement !== link) image.hidden = true;
  });
  host.addEventListener("pointerleave", () => { if (document.activeElement !== link) image.hidden = true; });
  link.addEventListener("focus", () => show(here, true));
  link.addEventListener("blur", () => { image.hidden = true; });
  link.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!way) return;
    event.preventDefault();
    event.stopPropagation();
    const at = ahead(spots, here, way);
    if (at >= 0) show(at, true);
  });
  show(here, false);
  host.append(link);
}

function nearest(spots, x, y, within) {
  let best = -1, least = within ** 2;
  spots.forEach(([a, b], at) => {
    const far = (a - x) ** 2 + (b - y) ** 2;
    if (far < least) [best, least] = [at, far];
  });
  return best;
}

/** The nearest dot in a direction: one twice as far is as good when it lies straight ahead. */
function ahead(spots, from, [right, down]) {
  const [x, y] = spots[from];
  let best = -1, least = Infinity;
  spots.forEach(([a, b], at) => {
    const along = (a - x) * right + (b - y) * down, aside = Math.abs((a - x) * down) + Math.abs((b - y) * right);
    if (along > 0 && aside <= along && along + 2 * aside < least) [best, least] = [at, along + 2 * aside];
  });
  return best;
}
