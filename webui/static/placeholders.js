// A few colours of each picture stand in its place, flowing into each other, until it has come.
const ACROSS = 4, DOWN = 3;
const canvas = document.createElement("canvas");
[canvas.width, canvas.height] = [ACROSS, DOWN];

/** The address of a picture of so many points, of digits as the page tells them: three a point. */
function drawn(digits) {
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const points = context.createImageData(ACROSS, DOWN);
  points.data.fill(255);
  for (let n = 0; n < 3 * ACROSS * DOWN; n++) points.data[n + Math.floor(n / 3)] = 17 * parseInt(digits[n], 16);
  context.putImageData(points, 0, 0);
  return canvas.toDataURL();
}

function cover(image) {
  if (image.complete) return;
  const place = image.parentElement;
  place.style.background = `0 0 / 100% 100% url("${drawn(image.dataset.colours)}")`;
  const uncover = () => place.style.removeProperty("background"); // also of a picture that cannot be had: its words are read
  for (const end of ["load", "error"]) image.addEventListener(end, uncover, { once: true });
}

/** Cover every tile without its picture, also those that come later. */
export function watchPlaceholders() {
  const look = (within) => within.querySelectorAll("img[data-colours]").forEach(cover);
  look(document);
  new MutationObserver((changes) => {
    for (const change of changes) for (const node of change.addedNodes) if (node.nodeType === Node.ELEMENT_NODE) look(node);
  }).observe(document.body, { childList: true, subtree: true });
}
