// Hits as elements. Captions and names are other people's words: they only ever become text, never markup.

/** An element with attributes and children; strings become text. */
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

const score = (hit) => (hit.score === null ? "" : hit.score.toFixed(3));
const label = (hit) => hit.caption || hit.path;
const file = (hit) => (hit.place ? `${hit.path} · ${hit.place}` : hit.path);
const shown = (hit) => hit.item ?? hit.id;
const address = (hit) => `/items/${shown(hit)}${hit.item === null && hit.modality === "text" ? `#w${hit.id}` : ""}`;

// The nearest proportions that rebus.css has a class for; pages.py holds the same list.
const SHAPES = [56, 67, 75, 87, 100, 117, 133, 150, 178, 200, 240];

function shape(hit) {
  const ratio = (100 * (hit.width || 1)) / (hit.height || 1);
  return `r${SHAPES.reduce((best, known) => (Math.abs(known - ratio) < Math.abs(best - ratio) ? known : best))}`;
}

export function tile(hit) {
  const parts = [];
  if (hit.thumbnail) {
    parts.push(make("img", {
      src: hit.thumbnail, width: hit.width || 300, height: hit.height || 300, alt: hit.caption || file(hit), loading: "lazy", decoding: "async",
    }));
  }
  if (hit.place) parts.push(make("span", { class: "place" }, hit.place));
  parts.push(make("span", { class: "over", "aria-hidden": "true" }, make("b", {}, label(hit)), make("i", {}, score(hit))));
  const link = { href: address(hit), "data-item": shown(hit), title: `${hit.caption || file(hit)} · ${score(hit)}` };
  return make("li", { class: shape(hit) }, make("a", link, ...parts), ...alike(hit));
}

/** The way to the near-duplicates that are folded under a hit. */
function alike(hit) {
  if (!hit.alike) return [];
  const unseen = make("span", { class: "unseen" }, `: ${label(hit)}`);
  return [make("a", { class: "alike", href: `/?like=${hit.item}` }, `+${hit.alike.toLocaleString("en")} alike`, unseen)];
}

export function line(hit) {
  const small = make("small", {}, file(hit));
  const number = make("i", { title: "Cosine, higher is nearer" }, score(hit));
  const opens = { href: address(hit), "data-item": shown(hit) };
  if (!hit.thumbnail) return make("li", {}, make("p", {}, make("a", opens, label(hit)), small), number);
  const picture = make("img", { src: hit.thumbnail, width: 64, height: 64, alt: file(hit), loading: "lazy", decoding: "async" });
  const words = make("a", { href: `/?q=${encodeURIComponent(quoted(label(hit)))}` }, label(hit));
  return make("li", {}, make("a", { ...opens, class: "small", title: file(hit) }, picture), make("p", {}, words, small), number);
}

/** A caption as the query box takes it literally; plain when nothing in it could mean more. */
function quoted(text) {
  const plain = text.replaceAll('"', "'");
  return /(^|\s)-|(path|like|type):/i.test(plain) ? `"${plain}"` : plain;
}

/** POST a search; return its answer, or throw an Error with a sentence for the person. */
export async function ask(body) {
  const json = !(body instanceof FormData);
  const response = await fetch("/api/v1/search", {
    method: "POST", body: json ? JSON.stringify(body) : body, headers: json ? { "Content-Type": "application/json" } : {},
  }).catch(() => { throw new Error("The server does not answer. Is it still running?"); });
  if (response.ok) return response.json();
  const problem = await response.json().catch(() => ({}));
  throw new Error(problem.detail ?? (response.status === 413 ? "That picture is too large." : `The server answered ${response.status}.`));
}

export function announce(text) {
  document.querySelector("#live").textContent = text;
}

/** What follows, from its own page: for lists that the API does not serve, such as the newest pictures. */
async function fromPage(address) {
  const response = await fetch(address);
  if (!response.ok) throw new Error(`The server answered ${response.status}.`);
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  return { nodes: [...page.querySelectorAll(".feed > li")], address: page.querySelector("#more")?.getAttribute("href") };
}

/** What follows, from the API: `load` asks for the hits that a cursor leads to. */
async function fromApi(load, link, draw) {
  const { hits, next } = await load(link.dataset.next);
  link.dataset.next = next;
  const address = new URL(link.href);
  address.searchParams.set("offset", Number(address.searchParams.get("offset")) + hits.length);
  return { nodes: hits.map(draw), address: next === null ? null : address.href };
}

/** Load what follows when its link comes near, or is pressed. Without `load`, the link itself says how. */
export function followMore(link, load) {
  const list = document.querySelector(".feed");
  if (!link || !list) return;
  const wanted = link.dataset.wanted && JSON.parse(link.dataset.wanted);
  if (wanted) load ??= (cursor) => ask({ ...wanted, cursor });
  const draw = list.matches(".lines") ? line : tile;
  let busy = false;
  const next = async () => {
    if (busy) return;
    busy = true;
    try {
      const found = load ? await fromApi(load, link, draw) : await fromPage(link.href);
      list.append(...found.nodes);
      announce(`${found.nodes.length} more`);
      if (!found.address) return finish();
      link.href = found.address;
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
