// The map's dots as links: one link goes to the dot under the pointer, or by arrow keys from dot to dot.
import { announce } from "./results.js";

const NEAR = 14, WAIT = 250; // units of the drawing; milliseconds before a name is asked for
const TILED = 0x8000; // in x, of a dot that has room for its picture

export async function watchMap() {
  const host = document.querySelector("[data-dots]");
  if (!host) return;
  const response = await fetch(host.dataset.dots).catch(() => null);
  const { items, spots, tiled } = unpacked(response?.ok ? await response.arrayBuffer() : []);
  if (!items.length) return;
  const svg = host.querySelector("svg"), { width, height } = svg.viewBox.baseVal;
  const link = document.createElement("a"), image = document.createElement("img");
  link.className = "spot";
  link.append(image);
  image.addEventListener("error", () => { image.hidden = true; });
  svg.querySelector(".dots").setAttribute("d", spots.map(([x, y]) => `M${x} ${y}h0`).join(""));
  addTiles(svg, tiled.map((at) => [items[at], ...spots[at]]));
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

/** Dots as the server packs them: of each the step from the id before (8 bytes), x and y (2 each), all first bytes first. */
function unpacked(buffer) {
  const bytes = new Uint8Array(buffer), count = bytes.length / 12;
  const number = (at, from, size) => {
    let value = 0;
    for (let place = size - 1; place >= 0; place--) value = 256 * value + bytes[(from + place) * count + at];
    return value;
  };
  const items = [], spots = [], tiled = [];
  for (let at = 0; at < count; at++) {
    const x = number(at, 8, 2);
    items.push((items.at(-1) ?? 0) + number(at, 0, 8));
    spots.push([x & ~TILED, number(at, 10, 2)]);
    if (x & TILED) tiled.push(at);
  }
  return { items, spots, tiled };
}

/** Pictures that the page itself does not show yet; to screen readers, the link that moves stands for them. */
function addTiles(svg, tiles) {
  const shown = new Map([...svg.querySelectorAll("a")].map((tile) => [tile.getAttribute("href"), tile]));
  const [like] = shown.values();
  for (const [item, x, y] of tiles) {
    if (!like || shown.has(`/items/${item}`)) continue;
    const tile = like.cloneNode(true), image = tile.querySelector("image");
    tile.setAttribute("href", `/items/${item}`);
    tile.ariaHidden = "true";
    tile.querySelector("title").textContent = `Picture ${item}`;
    image.setAttribute("href", `/thumbs/${item}`);
    image.setAttribute("x", x - image.getAttribute("width") / 2);
    image.setAttribute("y", y - image.getAttribute("height") / 2);
    svg.append(tile);
  }
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
