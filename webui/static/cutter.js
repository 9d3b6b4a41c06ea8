// A part of a picture: a box that is dragged over it, or moved with arrows and sized with Shift and arrows.
import { announce } from "./results.js";

const STEP = 5, LEAST = 5; // per cent

/** Lay a box over `image` in `host`; `use` gets "left,top,width,height" in per cent, and the image. */
export function cut(host, image, use, leave = () => {}) {
  if (host.querySelector(".cutter")) return;
  let box = [25, 25, 50, 50];
  const pane = element("div", { class: "cutter", tabindex: 0, role: "application", "aria-roledescription": "box over the picture" });
  pane.ariaLabel = "A part of the picture. Drag a box, or move it with the arrow keys and size it with Shift; Enter searches, Escape leaves.";
  const frame = element("div", { class: "frame" });
  const tools = element("p", { class: "cutting-tools" });
  pane.append(frame);
  const place = () => {
    const lies = { left: image.offsetLeft, top: image.offsetTop, width: image.offsetWidth, height: image.offsetHeight };
    for (const [side, pixels] of Object.entries(lies)) pane.style[side] = `${pixels}px`;
    ["left", "top", "width", "height"].forEach((side, at) => { frame.style[side] = `${box[at]}%`; });
  };
  const put = (x, y, w, h, say) => {
    const fit = (size) => Math.round(Math.min(100, Math.max(LEAST, size)));
    const [width, height] = [fit(w), fit(h)];
    const inside = (at, size) => Math.round(Math.min(100 - size, Math.max(0, at)));
    box = [inside(x, width), inside(y, height), width, height];
    place();
    if (say) announce(`left ${box[0]}, top ${box[1]}, ${box[2]} wide, ${box[3]} high, in per cent`);
  };
  const size = (by) => put(box[0] - by / 2, box[1] - by / 2, box[2] + by, box[3] + by, true);
  const end = () => { pane.remove(); tools.remove(); watcher.disconnect(); leave(); };
  const take = () => { end(); use(box.join(","), image); };
  for (const [text, act] of [["Search this part", take], ["Larger", () => size(2 * STEP)], ["Smaller", () => size(-2 * STEP)], ["Cancel", end]]) {
    const button = element("button", { type: "button" });
    button.textContent = text;
    button.addEventListener("click", act);
    tools.append(button);
  }
  dragging(pane, put, () => box);
  pane.addEventListener("keydown", (event) => {
    const [x, y] = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] }[event.key] ?? [0, 0];
    if (event.key === "Enter") take();
    else if (event.key === "Escape") end();
    else if (!x && !y) return;
    else if (event.shiftKey) put(box[0], box[1], box[2] + x, box[3] + y, true);
    else put(box[0] + x, box[1] + y, box[2], box[3], true);
    event.preventDefault();
    event.stopPropagation();
  });
  const watcher = new ResizeObserver(place);
  watcher.observe(image);
  host.append(tools, pane);
  place();
  pane.focus();
}

/** A drag draws a new box; a mere press moves the one there is. */
function dragging(pane, put, box) {
  let from = null;
  const at = (event) => {
    const { left, top, width, height } = pane.getBoundingClientRect();
    return [(100 * (event.clientX - left)) / width, (100 * (event.clientY - top)) / height].map((share) => Math.min(100, Math.max(0, share)));
  };
  pane.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    pane.focus();
    pane.setPointerCapture(event.pointerId);
    from = at(event);
  });
  pane.addEventListener("pointermove", (event) => {
    if (!from) return;
    const to = at(event);
    const [w, h] = [Math.abs(to[0] - from[0]), Math.abs(to[1] - from[1])];
    if (w >= 2 || h >= 2) put(Math.min(from[0], to[0]), Math.min(from[1], to[1]), w, h);
  });
  pane.addEventListener("pointerup", (event) => {
    if (!from) return;
    const to = at(event);
    const [, , w, h] = box();
    if (Math.abs(to[0] - from[0]) < 2 && Math.abs(to[1] - from[1]) < 2) put(to[0] - w / 2, to[1] - h / 2, w, h);
    from = null;
  });
}

/** The same in a dialog of its own, over a picture at an address. */
export function cutInDialog(address, use) {
  const dialog = element("dialog", { class: "cutting", "aria-label": "Choose a part of the picture" });
  const image = element("img", { src: address, alt: "" });
  const figure = element("figure", {});
  figure.append(image);
  dialog.append(figure);
  document.body.append(dialog);
  dialog.addEventListener("close", () => dialog.remove());
  dialog.showModal();
  image.decode().then(() => cut(figure, image, use, () => dialog.close()), () => dialog.close());
}

function element(name, attributes) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}
