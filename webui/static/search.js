// Searching with a picture, in place. The picture lives in the history entry, so back, forward and reload keep it.
import { toBlob } from "./picture.js";
import { announce, ask, followMore, line, make, tile } from "./results.js";

const WORDS = 8;
let latest = 0; // only the newest search may draw

/** Show what a picture (data: address), with optional words beside it, finds. kind: image, text or video. */
export async function searchWithPicture(state, { push = true } = {}) {
  const mine = ++latest;
  if (push) {
    try {
      history.pushState(state, "", state.kind === "image" ? "/" : `/?for=${state.kind}`);
    } catch {
      history.pushState({ ...state, picture: null }, "", "/"); // too large for the history: back still works
    }
  }
  document.body.classList.add("busy");
  try {
    const asked = [request(state, "text", state.kind === "text" ? 24 : WORDS)];
    if (state.kind !== "text") asked.push(request(state, state.kind, 24));
    const answers = await Promise.all(asked.map(ask));
    if (mine === latest) draw(state, ...answers);
  } catch (error) {
    if (mine === latest) show(state, note(error.message));
  } finally {
    if (mine === latest) document.body.classList.remove("busy");
  }
}

/** Go back and forth between picture searches here; every other address is the server's. */
export function watchHistory() {
  addEventListener("popstate", (event) => {
    if (event.state?.picture) searchWithPicture(event.state, { push: false });
    else if (!location.hash) location.reload();
  });
  if (history.state?.picture && location.pathname === "/") searchWithPicture(history.state, { push: false });
  document.querySelector("#search")?.addEventListener("submit", (event) => {
    const picture = history.state?.picture;
    if (!picture || !document.querySelector("#chips [data-own]")) return;
    event.preventDefault();
    const form = new FormData(event.target);
    searchWithPicture({ picture, words: form.get("q").trim(), kind: form.get("for") });
  });
}

function request({ picture, words }, modality, limit, cursor = null) {
  const form = new FormData();
  form.set("image", toBlob(picture), "picture");
  if (words) form.set("text", words);
  for (const [key, value] of Object.entries({ modality, limit, ...(cursor && { cursor }) })) form.set(key, value);
  return form;
}

function draw(state, words, similar) {
  const alone = state.kind === "text";
  const lines = words.hits.length
    ? make("ol", { class: alone ? "lines feed" : "lines compact" }, ...words.hits.map(line))
    : make("p", { class: "none" }, "This library has no captions to describe it with.");
  const parts = [section("its-words", "Its words", lines)];
  if (similar) parts.push(section("similar", state.kind === "video" ? "Similar moments" : "Similar pictures", make("ul", { class: "tiles feed" }, ...similar.hits.map(tile))));
  const [next, modality] = alone ? [words.next, "text"] : [similar.next, state.kind];
  if (next !== null) parts.push(make("p", { class: "more" }, make("a", { id: "more", href: location.href, "data-next": next }, "More")));
  show(state, ...parts);
  followMore(document.querySelector("#more"), (cursor) => ask(request(state, modality, 24, cursor)));
  announce(`${words.hits.length} captions${similar ? ` and ${similar.hits.length} ${state.kind === "video" ? "moments" : "pictures"}` : ""} for your picture`);
}

function section(id, title, content) {
  return make("section", { "aria-labelledby": id }, make("h2", { id }, title), content);
}

function note(message) {
  announce(message);
  return make("section", { class: "note", role: "alert" }, make("h1", {}, "That search cannot be asked"), make("p", {}, message));
}

function show(state, ...parts) {
  const main = document.querySelector("main");
  main.replaceChildren(make("h1", { class: "unseen" }, "Results for your picture"), ...parts);
  document.title = "Your picture — Rebus";
  const form = document.querySelector("#search");
  form.querySelectorAll("[type=hidden]").forEach((field) => field.remove());
  form.elements.q.value = state.words;
  form.elements.q.placeholder = "Add words";
  form.elements.for.value = state.kind;
  const remove = make("button", { type: "button", "aria-label": "Remove your picture" }, "×");
  remove.addEventListener("click", () => { location.href = state.words ? `/?q=${encodeURIComponent(state.words)}` : "/"; });
  const chip = make("span", { class: "chip", "data-own": "" }, make("img", { src: state.picture, alt: "Your picture" }), remove);
  document.querySelector("#chips").replaceChildren(chip);
  if (!history.state?.drawn) scrollTo(0, 0);
}
