// Searches with own pictures, in place. The address holds all but the pictures; these live in the history entry, so that
// back, forward and reload keep them. Whatever asks for another search goes through `go`, and takes them along.
import { toBlob } from "./picture.js";
import { announce, fetchPage, followMore, holdHeight, leaveHeight, takeUpPlace, tell } from "./results.js";

export const MOST_ITEMS = 16;
const MOST = 4;
const CARRIED = "rebus-carried", SEARCH = "rebus-search"; // in the session's storage
let latest = 0; // only the newest search may draw

const own = () => history.state?.pictures ?? [];
const here = () => (location.pathname === "/" ? location.href : new URL("/", location).href);

/** Search at an address of ours, with own pictures beside it: [{data, weight}]. */
export function go(address, pictures = own()) {
  if (!pictures.length) { leave(address); location.href = address; return; }
  if (location.pathname === "/") return draw(address, pictures, true);
  keep(CARRIED, pictures);
  location.href = address;
}

/** Leave the pictures of this entry behind: where one is already, a browser goes by a reload, which would keep them. */
function leave(address) {
  if (own().length && new URL(address, location).href === location.href) history.pushState(null, "");
}

/** Add pictures (data: addresses) to the search. */
export async function addPictures(pictures) {
  const all = [...own(), ...pictures.map((data) => ({ data, weight: 1 }))];
  if (all.length > MOST) tell(`A search takes ${MOST} pictures: the first are left out`);
  await draw(here(), all.slice(-MOST), true);
}

/** Draw what a search is answered with. ask: how the page is asked for; fail: what becomes of an error's sentence. */
async function draw(address, pictures, push, ask = () => fetchPage("/", form(address, pictures)), fail = refuse) {
  const mine = ++latest;
  if (push) remember(address, pictures);
  document.body.classList.add("busy");
  try {
    const page = await ask();
    if (mine === latest) show(page, address, pictures, push);
  } catch (error) {
    if (mine === latest) fail(error.message);
  } finally {
    if (mine === latest) document.body.classList.remove("busy");
  }
}

function remember(address, pictures) {
  try {
    history.pushState({ pictures }, "", address);
  } catch {
    history.pushState({ pictures: [] }, "", address); // too large for the history: back still works
  }
}

function form(address, pictures, cursor, pages = 1) {
  const fields = new FormData();
  for (const [name, value] of new URL(address, location).searchParams) if (name !== "cursor" && name !== "offset") fields.append(name, value);
  if (cursor) fields.set("cursor", cursor);
  fields.set("pages", pages);
  attach(fields, pictures);
  return fields;
}

function show(page, address, pictures, scroll) {
  const typing = document.activeElement === document.querySelector("#q");
  for (const part of ["search", "main", "#picked"]) document.querySelector(part).replaceWith(page.querySelector(part));
  document.title = page.title;
  if (typing) document.querySelector("#q").focus({ preventScroll: true });
  if (scroll) scrollTo(0, 0);
  const there = followMore((cursor, count) => fetchPage("/", form(address, pictures, cursor, count)));
  if (!typing) there.then(takeUpPlace);
  announce(`${document.querySelectorAll(".feed [data-item]").length} results${pictures.length ? " for your picture" : ""}`);
}

function refuse(message) {
  leaveHeight();
  const note = document.createElement("section");
  note.className = "note";
  note.setAttribute("role", "alert");
  for (const [name, text] of [["h1", "That search cannot be asked"], ["p", message]]) note.append(Object.assign(document.createElement(name), { textContent: text }));
  document.querySelector("main").replaceChildren(note);
}

/** The address of what the search form asks for. */
function asked(form) {
  const fields = [...new FormData(form)].filter(([name, value]) => typeof value === "string" && value.trim() && !(name === "for" && value === "image"));
  return `/?${plain(new URLSearchParams(fields))}`;
}

/** Follow the history, and every way to another search on the page, so that own pictures stay. */
export function watchSearch() {
  const carried = JSON.parse(sessionStorage.getItem(CARRIED) ?? "null");
  if (carried && location.pathname === "/") {
    sessionStorage.removeItem(CARRIED);
    history.replaceState({ pictures: carried }, "");
  }
  addEventListener("popstate", (event) => {
    if (event.state?.pictures?.length) draw(location.href, event.state.pictures, false);
    else if (!location.hash) location.reload();
  });
  holdHeight();
  if (own().length && location.pathname === "/") draw(location.href, own(), false);
  else followMore().then(takeUpPlace);
  beginTyping();
  // Back as the page was left, it shows what its address asks for, not what was asked for next.
  addEventListener("pageshow", ({ persisted }) => { if (persisted) document.querySelector("#search")?.reset(); });
  document.addEventListener("submit", (event) => {
    const { target, submitter } = event;
    const search = searched();
    const marks = submitter?.name === "say" && (search.pictures.length || location.pathname === "/");
    if (!marks && !(target.id === "search" && own().length)) return;
    event.preventDefault();
    if (marks) mark(target, submitter.value, search);
    else go(asked(target));
  });
  document.addEventListener("change", (event) => {
    const { form, name } = event.target;
    // Nothing was asked yet on the start page: the choice of a kind then only waits for the words.
    if (name === "for" && form.id === "search" && (form.elements.q.value.trim() || form.querySelector(".chip"))) form.requestSubmit();
  });
  document.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || !own().length) return;
    const brand = event.target.closest?.(".brand");
    if (brand) leave(brand.href);
    const skip = event.target.closest?.(".skip");
    if (skip) { event.preventDefault(); document.querySelector(skip.hash).focus(); } // going there makes an entry without the pictures
    const chosen = event.target.closest?.("a[data-keep], [data-remove], [data-set]");
    if (!chosen) return;
    event.preventDefault();
    const { own: number, set } = chosen.dataset;
    if (number === undefined) go(chosen.href);
    else if (set) change(Number(number), (picture) => [{ ...picture, weight: Number(set) }]);
    else change(Number(number), () => []);
  });
}

/** On the start page one types at once; who comes back to it is where they were: no `autofocus`, which scrolls there. */
function beginTyping() {
  const [{ type }] = performance.getEntriesByType("navigation");
  if (type === "navigate" && document.activeElement === document.body) document.querySelector("#q[data-begins]")?.focus();
}

/** Put others, or none, in the place of an own picture. */
function change(number, to) {
  const address = location.href.replace(/#.*/, "");
  go(address, own().flatMap((each, place) => (place === number ? to(each) : [each])));
}

export const ownPicture = (number) => own()[number]?.data;
export const replacePicture = (number, data) => change(number, (picture) => [{ ...picture, data }]);

/** Keep the search that a result is opened from, for the viewer's "add to the search". */
export function rememberSearch() {
  if (location.pathname === "/") keep(SEARCH, { address: location.href, pictures: own() });
}

/** The search that was left for the viewer: {address, pictures}; null without one. */
export const rememberedSearch = () => JSON.parse(sessionStorage.getItem(SEARCH) ?? "null");

/** This search, or the one that was left for the viewer. */
const searched = () => (location.pathname === "/" ? null : rememberedSearch()) ?? { address: here(), pictures: own() };

/** Add items, as the address has them, to the search. Whether they are too many, and nothing was done. */
export function addLikes(values) {
  const { address, pictures } = searched();
  const to = changed(address, (likes) => [...new Set([...likes, ...values])]);
  const asked = new URL(to).searchParams;
  const refused = asked.getAll("like").length + asked.getAll("unlike").length > MOST_ITEMS;
  if (refused) tell(`A search takes ${MOST_ITEMS} items: remove some first`);
  else go(to, pictures);
  return refused;
}

/** Mark results in place, so that the history holds the search once. Own pictures, which no form holds, travel along. */
async function mark(filled, said, { address, pictures }) {
  const fields = new FormData(filled);
  fields.set("say", said);
  attach(fields, pictures);
  const put = () => fetchPage("/marks", fields);
  const fail = (message) => tell(`That could not be marked. ${message}`);
  if (location.pathname !== "/") return put().then(() => go(address, pictures), (error) => fail(error.message));
  const start = changed(address, (likes) => likes);
  await draw(start, pictures, false, async () => {
    const page = await put();
    if (start !== address) history.replaceState(history.state, "", start); // it began further on
    return pictures.length ? fetchPage("/", form(start, pictures)) : page;
  }, fail);
}

function attach(fields, pictures) {
  for (const { data, weight } of pictures) {
    fields.append("picture", toBlob(data), "picture");
    fields.append("weight", weight);
  }
}

/** Put another item, or part of one, in the place of one of the search. */
export function replaceLike(old, value) {
  go(changed(here(), (likes) => likes.map((each) => (each === old ? value : each))));
}

function changed(address, to) {
  const url = new URL(address, location);
  const likes = to(url.searchParams.getAll("like"));
  for (const name of ["like", "cursor", "offset"]) url.searchParams.delete(name);
  for (const value of likes) url.searchParams.append("like", value);
  url.search = plain(url.searchParams);
  return url.href;
}

/** Parameters with the marks of an item's weight and part left readable. */
function plain(parameters) {
  return String(parameters).replace(/%3A|%40|%2C|%2F/g, decodeURIComponent);
}

function keep(name, value) {
  try {
    sessionStorage.setItem(name, JSON.stringify(value));
  } catch { /* too large, or not allowed: then it is not kept */ }
}
