// Keys, and the way from one result to the next: in the grid, and in the viewer.
import { clearPicks, togglePick } from "./picks.js";
import { closePanels } from "./panels.js";
import { keepResults, rememberedResults, RESULT } from "./results.js";
import { rememberSearch } from "./search.js";

export function listenToKeys() {
  const keys = document.querySelector("#keys");
  document.addEventListener("keydown", (event) => {
    const box = document.querySelector("#q");
    const typing = event.target.closest?.("input:not([type=radio], [type=checkbox]), textarea, select");
    if ((event.ctrlKey || event.metaKey) && !event.altKey && event.key.toLowerCase() === "k") return focusBox(event, box);
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || document.querySelector("dialog[open]")) return;
    if (event.key === "Escape") return escape(event.target, box);
    if (typing) return;
    if (event.key === "/") return focusBox(event, box);
    if (event.key === "?") return keys.showModal();
    if (event.key === "x") return togglePick(event.target);
    if (event.key === "g" || event.key === "b") return say(event.key === "g" ? "good" : "bad");
    if (event.key === "r") return document.querySelector(".viewer [data-part]")?.click();
    if (event.key === "a") return document.querySelector(".viewer [data-add]:not([hidden])")?.click();
    if (event.key.startsWith("Arrow") && !event.target.closest?.("[type=radio], video, audio, pre")) move(event);
  });
}

/** Mark what is selected, or what the viewer shows. */
function say(word) {
  const form = document.querySelector(".pick:checked") ? "#picked" : ".marking:not([hidden])";
  document.querySelector(`${form} [value=${word}]:not([hidden])`)?.click();
}

function focusBox(event, box) {
  event.preventDefault();
  box?.focus();
  box?.select();
}

function escape(target, box) {
  if (closePanels(null)) return;
  if (target === box) box.blur();
  else if (!clearPicks() && document.querySelector("[data-viewer]")) leave();
}

/** Arrows go from result to result; in the viewer, where no result has the focus, to the neighbour's page. */
function move(event) {
  const here = event.target.closest?.("li")?.querySelector(RESULT);
  const to = here ? beside(here, event.key) : null;
  if (to) {
    event.preventDefault();
    to.focus();
  } else if (!here && document.querySelector("[data-viewer]")) turn({ ArrowLeft: "#previous", ArrowRight: "#next" }[event.key]);
  else if (!here && event.key === "ArrowRight") document.querySelector(RESULT)?.focus();
}

/** The result before or after one, or the nearest in the row above or below. */
function beside(here, key) {
  const all = [...document.querySelectorAll(RESULT)];
  const at = all.indexOf(here);
  if (key === "ArrowLeft" || key === "ArrowRight") return all[at + (key === "ArrowLeft" ? -1 : 1)];
  const { top, left, width } = here.getBoundingClientRect();
  const sign = key === "ArrowUp" ? -1 : 1;
  let best = null, least = Infinity;
  for (const one of all) {
    const lies = one.getBoundingClientRect();
    const down = sign * (lies.top - top);
    const far = 1e3 * down + Math.abs(lies.left + lies.width / 2 - left - width / 2);
    if (down > 4 && far < least) [best, least] = [one, far];
  }
  return best;
}

/** Keep the order of the results that a picture is opened from, and the search that found them. */
export function rememberResults() {
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-item]");
    if (!link) return;
    keepResults([...document.querySelectorAll(RESULT)], link);
    rememberSearch();
  });
}

/** In the viewer, point the arrows at the neighbours in those results. */
export function linkNeighbours() {
  const viewer = document.querySelector("[data-viewer]");
  if (!viewer) return;
  const ids = rememberedResults().map(([item]) => item);
  const here = ids.indexOf(viewer.dataset.viewer);
  if (here < 0) return;
  for (const [selector, id] of [["#previous", ids[here - 1]], ["#next", ids[here + 1]]]) {
    const link = document.querySelector(selector);
    if (!id) continue;
    link.href = `/items/${id}`;
    link.hidden = false;
    // Turning pages replaces the entry, so that back always returns to the results.
    link.addEventListener("click", (event) => {
      event.preventDefault();
      location.replace(link.href);
    });
  }
}

function turn(selector) {
  const link = selector && document.querySelector(selector);
  if (link && !link.hidden) link.click();
}

function leave() {
  const ours = document.referrer.startsWith(location.origin);
  if (ours && history.length > 1) history.back();
  else location.href = "/";
}
