// What the page adds where there is JavaScript: search with a dropped, pasted or chosen picture, endless results, keys.
import { searchWithPicture, watchHistory } from "./search.js";
import { onPicture } from "./picture.js";
import { listenToKeys, linkNeighbours, rememberResults } from "./keys.js";
import { followMore } from "./results.js";
import { followWork } from "./status.js";

document.documentElement.classList.add("js");

onPicture((picture) => searchWithPicture({ picture, words: "", kind: "image" }));
for (const radio of document.querySelectorAll("#search [name=for]")) {
  // Nothing was asked yet on the start page: the choice then only waits for the words.
  radio.addEventListener("change", () => {
    const form = radio.form;
    if (form.elements.q.value.trim() || form.elements.like || form.querySelector(".chip")) form.requestSubmit();
  });
}
watchHistory();
listenToKeys();
linkNeighbours();
rememberResults();
followMore(document.querySelector("#more"));
followWork();
