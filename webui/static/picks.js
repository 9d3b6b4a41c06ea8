// Results that are selected, for a search by several of them. Without a script, the form does it by itself.
import { addLikes, MOST_ITEMS } from "./search.js";
import { announce, keepPlace } from "./results.js";

const picked = () => [...document.querySelectorAll(".pick:checked")];

export function watchPicks() {
  document.addEventListener("change", (event) => { if (event.target.matches(".pick")) count(); });
  addEventListener("pageshow", () => { if (picked().length) count(); }); // browsers select again what was when one goes back
  document.addEventListener("reset", (event) => { if (event.target.id === "picked") setTimeout(count); });
  document.addEventListener("submit", (event) => {
    const { target, submitter } = event;
    if (submitter?.name === "say") return keepPlace();
    if (target.id !== "picked") return;
    const values = picked().map((each) => each.value);
    const refused = submitter?.name === "add" ? addLikes(values) : values.length > MOST_ITEMS;
    if (refused) say(`${values.length} selected. A search takes ${MOST_ITEMS} items: clear some`);
    if (refused || submitter?.name === "add") event.preventDefault();
  });
}

const count = () => say(`${picked().length} selected`);

function say(text) {
  const line = document.querySelector("#picked output");
  if (line.textContent === text) return;
  line.textContent = text;
  announce(text);
}

/** Select the result that has the focus, or take it back. */
export function togglePick(element) {
  element?.closest(".tiles > li, .lines > li")?.querySelector(".pick")?.click();
}

/** Whether anything was selected. */
export function clearPicks() {
  const some = picked().length > 0;
  if (some) document.querySelector("#picked").reset();
  return some;
}
