// The list of results as it grows. The server draws every hit; here they are only put in their place.

export const RESULT = "main a[data-item]";
const REMEMBERED = "rebus-found", PLACE = "rebus-place"; // in the session's storage

/** The results that were left for the viewer, in their order: of each the item to show, and what was found. */
export function rememberedResults() {
  return JSON.parse(sessionStorage.getItem(REMEMBERED) ?? "[]");
}

/** Keep them for the viewer: each item once, with what was found of it first, or what was opened. */
export function keepResults(links, opened) {
  const found = new Map([...links].reverse().map(({ dataset }) => [dataset.item, dataset.found ?? dataset.item]));
  found.set(opened.dataset.item, opened.dataset.found ?? opened.dataset.item);
  const order = [...new Set(links.map((link) => link.dataset.item))];
  sessionStorage.setItem(REMEMBERED, JSON.stringify(order.map((item) => [item, found.get(item)])));
}

/** Keep what is marked, or the one that has the focus, and what follows: the focus goes there once they rank anew. */
export function keepPlace() {
  const viewed = document.querySelector("[data-viewer]")?.dataset.viewer;
  const shown = viewed ? rememberedResults().map(([item]) => item) : [...document.querySelectorAll(RESULT)].map(({ dataset }) => dataset.item);
  const here = viewed ?? (document.activeElement.closest("li") ?? document.querySelector("li:has(> .pick:checked)"))?.querySelector(RESULT)?.dataset.item;
  sessionStorage.setItem(PLACE, JSON.stringify(shown.slice(Math.max(0, shown.indexOf(here)))));
}

/** Give the focus to the first of what was kept that is still there, once; else to the results. */
export function takeUpPlace() {
  const kept = JSON.parse(sessionStorage.getItem(PLACE) ?? "null");
  sessionStorage.removeItem(PLACE);
  const links = new Map([...document.querySelectorAll(RESULT)].reverse().map((link) => [link.dataset.item, link]));
  if (kept) (links.get(kept.find((item) => links.has(item))) ?? document.querySelector("main")).focus();
}

export function announce(text) {
  document.querySelector("#live").textContent = text;
}

/** The page at an address, or what a form is answered with; throws an Error with a sentence for the person. */
export async function fetchPage(address, body) {
  const response = await fetch(address, { ...(body && { method: "POST", body }), headers: { Accept: "text/html" } })
    .catch(() => { throw new Error("The server does not answer. Is it still running?"); });
  if (response.redirected && new URL(response.url).pathname === "/login") location.href = response.url; // logged out since
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  if (response.ok) return page;
  const said = page.querySelector("[role=alert] p, .note p")?.textContent;
  throw new Error(said ?? (response.status === 413 ? "That picture is too large." : `The server answered ${response.status}.`));
}

/** Append a page's results to those shown; moments of a film that is there already join it. How many there are. */
function append(list, page) {
  const fresh = [...page.querySelectorAll(".feed > li")];
  let count = 0;
  for (const item of fresh) {
    count += item.querySelectorAll(".tiles > li").length || 1;
    const film = item.dataset.film && list.querySelector(`[data-film="${item.dataset.film}"]`);
    if (!film) { list.append(item); continue; }
    film.querySelector("svg").append(...item.querySelectorAll(".mark"));
    film.querySelector(".tiles").append(...item.querySelectorAll(".tiles > li"));
  }
  return count;
}

/** Load what follows when its link comes near, or is pressed. load: from a cursor to a page, where no address says it. */
export function followMore(load) {
  const link = document.querySelector("#more");
  const list = document.querySelector(".feed");
  if (!link || !list) return;
  let busy = false;
  const next = async () => {
    if (busy) return;
    busy = true;
    try {
      const page = link.dataset.next ? await load(link.dataset.next) : await fetchPage(link.href);
      announce(`${append(list, page)} more`);
      const following = page.querySelector("#more");
      if (!following) return finish();
      link.textContent = following.textContent; // what was said of a failure before
      if (link.href) link.href = following.getAttribute("href");
      else link.dataset.next = following.dataset.next;
      watcher.unobserve(link); // observed anew, it reports at once when it is still in sight
      watcher.observe(link);
    } catch (error) {
      link.textContent = `${error.message} Try again`;
      watcher.disconnect();
    } finally {
      busy = false;
    }
  };
  const near = (seen) => { if (seen.some((entry) => entry.isIntersecting)) next(); };
  const watcher = new IntersectionObserver(near, { rootMargin: "600px" });
  const finish = () => { watcher.disconnect(); link.parentElement.remove(); };
  link.addEventListener("click", (event) => { event.preventDefault(); next(); });
  watcher.observe(link);
}
