// What the page adds where there is JavaScript: searches with own pictures, endless results, selection, keys.
import { addLikes, addPictures, watchSearch } from "./search.js";
import { onPicture } from "./picture.js";
import { listenToKeys, linkNeighbours, rememberResults } from "./keys.js";
import { watchPicks } from "./picks.js";
import { watchPanels } from "./panels.js";
import { watchPlaceholders } from "./placeholders.js";
import { followWork } from "./status.js";
import { watchMap } from "./map.js";

document.documentElement.classList.add("js");

onPicture(addPictures, (item) => addLikes([item]));
watchPlaceholders();
watchSearch();
listenToKeys();
linkNeighbours();
rememberResults();
watchPicks();
watchPanels();
followWork();
watchMap();
