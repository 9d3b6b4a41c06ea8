// Panels that open: facets, whose values are fetched when somebody looks, weights of chips, what can be copied.
import { fetchPage, rememberedResults, tell } from "./results.js";
import { addLikes, ownPicture, rememberedSearch, replaceLike, replacePicture } from "./search.js";

const PANELS = "details.facet[open], details.weight[open]";

export function watchPanels() {
  document.addEventListener("toggle", ({ target }) => {
    if (target.open && target.matches("[data-facet]")) fill(target.parentElement);
  }, true);
  document.addEventListener("click", async (event) => {
    closePanels(event.target);
    const { dataset } = event.target.closest?.("[data-copy], [data-part], [data-add]") ?? {};
    if (dataset?.copy) copy(document.querySelector(dataset.copy).textContent);
    else if (dataset?.add) addLikes([dataset.add]);
    else if (dataset) await part(dataset, event.target);
  });
  const add = document.querySelector("[data-add]");
  const left = rememberedSearch();
  if (add) add.hidden = !left;
  const marking = document.querySelector(".marking");
  const asked = left ? new URL(left.address).search.slice(1) : "";
  // A mark belongs to what was searched for, and to what was found: not to the picture that a caption describes.
  const found = rememberedResults().find(([item]) => item === marking?.elements.like.value)?.[1];
  if (!found || !(asked || left.pictures.length)) return;
  marking.elements.like.value = found;
  marking.elements.was.value = asked;
  document.querySelector(`#w${found}`)?.setAttribute("aria-current", "true"); // of several captions this one was found
  marking.hidden = false;
}

/** Close what is open, but for what holds `inside`. Whether anything was. */
export function closePanels(inside) {
  const open = [...document.querySelectorAll(PANELS)].filter((panel) => !panel.contains(inside));
  for (const panel of open) panel.open = false;
  return open.length > 0;
}

async function fill(row) {
  if (row.dataset.filled) return;
  row.dataset.filled = "yes";
  try {
    const page = await fetchPage(row.dataset.facets);
    for (const panel of row.querySelectorAll("[data-facet]")) {
      const section = page.querySelector(`[data-values="${panel.dataset.facet}"]`);
      section.querySelector("h2").remove();
      panel.querySelector(".values").replaceChildren(...section.children);
    }
  } catch (error) {
    delete row.dataset.filled; // opened once more, it asks again; the link in its place leads there too
    const said = Object.assign(document.createElement("p"), { className: "failed", role: "alert", textContent: error.message });
    for (const panel of row.querySelectorAll("[data-facet]")) {
      panel.querySelector(".failed")?.remove();
      panel.querySelector(".values").prepend(said.cloneNode(true));
    }
  }
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    tell("Copied");
  } catch {
    tell("The browser does not allow copying: select the text");
  }
}

/** Choose a part: of the picture in the viewer, of an item of the search, or of an own picture. */
async function part({ like, own, part: item }, button) {
  const chip = button.closest(".chip");
  closePanels(null);
  const { cut, cutInDialog } = await import("./cutter.js");
  if (item) return cut(document.querySelector(".viewer figure"), document.querySelector(".viewer figure img"), (region) => { location.href = `/?like=${item}@${region}`; });
  if (like) return cutInDialog(chip.querySelector("img").src, (region) => replaceLike(like, `${like.replace(/@.*/, "")}@${region}`));
  const { cropped } = await import("./picture.js");
  cutInDialog(ownPicture(Number(own)), (region, picture) => {
    const whole = Object.assign(document.createElement("canvas"), { width: picture.naturalWidth, height: picture.naturalHeight });
    whole.getContext("2d").drawImage(picture, 0, 0);
    replacePicture(Number(own), cropped(whole, region.split(",").map(Number)));
  });
}
