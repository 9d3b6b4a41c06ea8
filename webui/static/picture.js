// A picture from the person: dropped anywhere, pasted, or chosen. Made small here, so that it travels at once.
const LONGEST = 768;

/** Call `use` with the data: addresses of the pictures that the person gives, `useItem` with a result's item. */
export function onPicture(use, useItem) {
  const take = async (files) => use(await Promise.all(files.map(shrink)));
  document.addEventListener("change", ({ target }) => {
    if (target.id !== "picture" || !target.files.length) return;
    take([...target.files]);
    target.value = "";
  });
  document.addEventListener("paste", (event) => {
    const files = picturesOf(event.clipboardData);
    if (!files.length) return;
    event.preventDefault();
    take(files);
  });
  let own = null; // a result dragged inside the page
  document.addEventListener("dragstart", (event) => { own = event.target.closest?.("[data-item]"); });
  document.addEventListener("dragend", () => { own = null; });
  document.addEventListener("dragover", (event) => {
    if (!own && !event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    document.body.classList.toggle("dropping", !own);
  });
  document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) document.body.classList.remove("dropping"); });
  document.addEventListener("drop", (event) => {
    document.body.classList.remove("dropping");
    const files = own ? [] : picturesOf(event.dataTransfer);
    if (!own && !files.length) return;
    event.preventDefault();
    if (!own) take(files);
    else if (event.target.closest("#search")) useItem(own.dataset.item);
  });
}

function picturesOf(transfer) {
  return [...(transfer?.files ?? [])].filter((file) => file.type.startsWith("image/"));
}

/** A part of a picture (left, top, width, height in per cent), made small, as a data: address. */
export function cropped(picture, [x, y, w, h] = [0, 0, 100, 100]) {
  const width = (picture.width * w) / 100, height = (picture.height * h) / 100;
  const scale = Math.min(1, LONGEST / Math.max(width, height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  const pen = canvas.getContext("2d");
  pen.fillStyle = "#fff"; // transparent pictures lie on white, as they do for the index
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.drawImage(picture, (picture.width * x) / 100, (picture.height * y) / 100, width, height, 0, 0, canvas.width, canvas.height);
  return canvas.toDataURL("image/jpeg", 0.9);
}

async function shrink(file) {
  try {
    return cropped(await createImageBitmap(file, { imageOrientation: "from-image" }));
  } catch {
    return dataAddress(file); // a format that this browser cannot draw: the server may know it
  }
}

function dataAddress(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}

/** The bytes of a data: address. */
export function toBlob(address) {
  const [head, body] = address.split(",");
  const bytes = Uint8Array.from(atob(body), (letter) => letter.charCodeAt(0));
  return new Blob([bytes], { type: head.slice(5).split(";")[0] });
}
