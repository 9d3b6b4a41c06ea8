// Results that are selected, for a search by several of them. Without a script, the form does it by itself.
import { addLikes } from "./search.js";
import { announce } from "./results.js";

const picked = () => [...document.querySelectorAll(".pick:checked")];

export function watchPicks() {
  const form = document.querySelector("#picked");
  if (!form) return;
  const count = () => {
    const said = `${picked().length} selected`;
    if (form.querySelector("output").textContent === said) return;
    form.querySelector("output").textContent = said;
    announce(said);
  };
  document.addEventListener("change", (event) => { if (event.target.matches(".pick")) count(); });
  form.addEventListener("reset", () => setTimeout(count));
  form.addEventListener("submit", (event) => {
    if (event.submitter?.name !== "add") return;
    event.preventDefault();
    addLikes(picked().map((each) => each.value));
  });
}

/** Select the result that has the focus, or take it back. */
export function togglePick(element) {
  element?.closest(".tiles > li")?.querySelector(".pick")?.click();
}

/** Whether anything was selected. */
export function clearPicks() {
  const some = picked().length > 0;
  if (some) document.querySelector("#picked").reset();
  return some;
}
