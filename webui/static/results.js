// The list of results as it grows. The server draws every hit; here they are only put in their place.

const REMEMBERED = "rebus-found";

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
