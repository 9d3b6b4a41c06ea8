// Keys, and the way from one result to the next in the viewer.
const REMEMBERED = "rebus-results";

export function listenToKeys() {
  const box = document.querySelector("#q");
  const keys = document.querySelector("#keys");
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("input:not([type=radio]), textarea, select");
    if ((event.ctrlKey || event.metaKey) && !event.altKey && event.key.toLowerCase() === "k") return focusBox(event);
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || keys.open) return;
    if (event.key === "Escape") return escape(event.target);
    if (typing) return;
    if (event.key === "/") return focusBox(event);
    if (event.key === "?") return keys.showModal();
    if (event.target.closest?.("[type=radio]")) return; // arrows choose between radios
    if (event.key === "ArrowLeft") turn("#previous");
    if (event.key === "ArrowRight") turn("#next");
  });
  const focusBox = (event) => {
    event.preventDefault();
    box?.focus();
    box?.select();
  };
  const escape = (target) => {
    if (target === box) box.blur();
    else if (document.querySelector("[data-viewer]")) leave();
  };
}

/** Keep the order of the results that a picture is opened from. */
export function rememberResults() {
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-item]");
    if (!link) return;
    const ids = [...document.querySelectorAll("main a[data-item]")].map((each) => each.dataset.item);
    sessionStorage.setItem(REMEMBERED, JSON.stringify([...new Set(ids)]));
  });
}

/** In the viewer, point the arrows at the neighbours in those results. */
export function linkNeighbours() {
  const viewer = document.querySelector("[data-viewer]");
  if (!viewer) return;
  const ids = JSON.parse(sessionStorage.getItem(REMEMBERED) ?? "[]");
  const here = ids.indexOf(viewer.dataset.viewer);
  if (here < 0) return;
  for (const [selector, id] of [["#previous", ids[here - 1]], ["#next", ids[here + 1]]]) {
    const link = document.querySelector(selector);
    if (!id) continue;
    link.href = `/items/${id}`;
    link.hidden = false;
    // Turning pages replaces the entry, so that back always returns to the results.
    link.addEventListener("click", (event) => {
      event.preventDefault();
      location.replace(link.href);
    });
  }
}

function turn(selector) {
  const link = document.querySelector(selector);
  if (link && !link.hidden) link.click();
}

function leave() {
  const ours = document.referrer.startsWith(location.origin);
  if (ours && history.length > 1) history.back();
  else location.href = "/";
}
