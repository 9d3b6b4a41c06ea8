// The list of results as it grows. The server draws every hit; here they are only put in their place.

export const RESULT = "main a[data-item]";
const REMEMBERED = "rebus-found", PLACE = "rebus-place"; // in the session's storage
const MOST_PAGES = 20; // that are loaded again where one goes back to them
const SHOWN_MS = 6000; // how long a sentence stays
let hiding = 0;

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

/** Say to screen readers what everybody else sees happen. */
export function announce(text) {
  const line = document.querySelector("#live");
  line.className = "unseen";
  line.textContent = text;
}

/** Say to everybody what nothing else on the page shows. */
export function tell(text) {
  announce(text);
  const line = document.querySelector("#live");
  line.className = "said";
  clearTimeout(hiding);
  hiding = setTimeout(() => { line.className = "unseen"; }, SHOWN_MS);
}

/** The page at an address, or what a form is answered with; throws an Error with a sentence for the person.
 * Its `anew` is the link to begin a search anew, where going on with it is what cannot be. */
export async function fetchPage(address, body) {
  const response = await fetch(address, { ...(body && { method: "POST", body }), headers: { Accept: "text/html" } })
    .catch(() => { throw new Error("The server does not answer. Is it still running?"); });
  if (response.redirected && new URL(response.url).pathname === "/login") location.href = response.url; // logged out since
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  if (response.ok) return page;
  const said = page.querySelector("[role=alert] p, .note p")?.textContent;
  const error = new Error(said ?? (response.status === 413 ? "That picture is too large." : `The server answered ${response.status}.`));
  throw Object.assign(error, { anew: page.querySelector("[role=alert] a[data-keep]") });
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

/** Hide the tiles of a last row that is not full, or show them: what comes next may join it, and make it higher. */
function holdRow(list, held) {
  const tiles = list.matches(".tiles") ? [...list.children] : [];
  const last = tiles.at(-1);
  const open = held && last && last.offsetLeft + last.offsetWidth < list.offsetLeft + list.offsetWidth - 2;
  const row = new Set(open ? tiles.filter((tile) => tile.offsetTop === last.offsetTop) : []);
  for (const tile of tiles) tile.classList.toggle("held", row.has(tile));
}

/** Make the page as high as it was when it was left, so that the browser finds its place there before all has come. */
export function holdHeight() {
  const { height } = history.state ?? {};
  if (height) document.body.style.minHeight = `${height}px`;
}

/** Let it be as high as what it holds. */
export const leaveHeight = () => document.body.style.removeProperty("min-height");

/** Load again as many pages as were shown when this entry of the history was left, then what follows when its link
 * comes near, or is pressed. load: from a cursor to so many pages as one, where no address says it. */
export async function followMore(load) {
  const link = document.querySelector("#more");
  const list = document.querySelector(".feed");
  let { state } = history, pages = 0, busy = false, follows = link && list;
  const left = state?.pages ?? 0;
  const remember = () => {
    if (pages <= left || pages > MOST_PAGES || history.state !== state) return; // the last: another search was asked for
    history.replaceState({ ...state, pages, height: document.documentElement.scrollHeight }, "");
    ({ state } = history);
  };
  /** Append what follows: so many pages as one. */
  const next = async (count) => {
    [busy, follows] = [true, false];
    try {
      const page = link.dataset.next ? await load(link.dataset.next, count) : await fetchPage(`${link.href}&pages=${count}`);
      if (!list.isConnected) return;
      announce(`${append(list, page)} more`);
      pages += count;
      const following = page.querySelector("#more");
      if (!following) link.parentElement.remove();
      else if (link.href) link.href = following.getAttribute("href");
      else link.dataset.next = following.dataset.next;
      link.textContent = "More"; // what was said of a failure before
      follows = following !== null;
      remember();
    } catch (error) {
      if (error.anew) link.parentElement.replaceChildren(`${error.message} `, error.anew);
      else link.textContent = `${error.message} Try again`;
    } finally {
      busy = false;
    }
  };
  const wait = () => {
    holdRow(list, follows);
    watcher.disconnect(); // observed anew, it reports at once when it is still in sight
    if (follows) watcher.observe(link);
  };
  const more = async () => { if (!busy) { await next(1); wait(); } };
  const watcher = new IntersectionObserver((seen) => { if (seen.some((entry) => entry.isIntersecting)) more(); }, { rootMargin: "900px" });
  if (follows) link.addEventListener("click", (event) => { event.preventDefault(); more(); });
  holdHeight();
  if (follows && left) { holdRow(list, true); await next(left); }
  leaveHeight();
  if (!list) return;
  wait();
  new ResizeObserver(() => holdRow(list, follows || busy)).observe(list);
}
