// A picture from the person: dropped anywhere, pasted, or chosen. Made small here, so that it travels at once.
const LONGEST = 768;

/** Call `use` with the data: address of each picture the person gives. */
export function onPicture(use) {
  const take = async (file) => { if (file) use(await shrink(file)); };
  const input = document.querySelector("#picture");
  input?.addEventListener("change", () => {
    take(input.files[0]);
    input.value = "";
  });
  document.addEventListener("paste", (event) => {
    const file = pictureOf(event.clipboardData);
    if (!file) return;
    event.preventDefault();
    take(file);
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
    const file = own ? null : pictureOf(event.dataTransfer);
    if (!own && !file) return;
    event.preventDefault();
    if (own) {
      if (event.target.closest("#search")) location.href = `/?like=${own.dataset.item}`;
    } else take(file);
  });
}

function pictureOf(transfer) {
  return [...(transfer?.files ?? [])].find((file) => file.type.startsWith("image/"));
}

async function shrink(file) {
  try {
    const bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
    const scale = Math.min(1, LONGEST / Math.max(bitmap.width, bitmap.height));
    const canvas = document.createElement("canvas");
    canvas.width = Math.max(1, Math.round(bitmap.width * scale));
    canvas.height = Math.max(1, Math.round(bitmap.height * scale));
    const pen = canvas.getContext("2d");
    pen.fillStyle = "#fff"; // transparent pictures lie on white, as they do for the index
    pen.fillRect(0, 0, canvas.width, canvas.height);
    pen.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    return canvas.toDataURL("image/jpeg", 0.9);
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
