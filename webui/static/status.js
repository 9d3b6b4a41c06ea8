// The library's state while a job runs: the line on the search page, and the page of its work, kept up to date.
import { announce } from "./results.js";

const OFTEN = 2000, SELDOM = 30000; // while a job runs, and while none does

/** Ask for the state again and again, while anybody looks. */
export function followWork() {
  const line = document.querySelector("#working");
  const library = document.querySelector("[data-library]");
  if (document.querySelector("[data-drawing]")) setTimeout(() => location.reload(), OFTEN);
  if (!line && !library) return;
  let job = Boolean(library ? library.querySelector("progress") : !line.hidden);
  let known = null;
  const look = async () => {
    const state = document.hidden ? null : await ask();
    if (state) {
      const running = state.jobs.find((each) => each.alive);
      if (line) say(line, running);
      const told = JSON.stringify(state, (key, value) => (key === "heartbeat_at" ? undefined : value));
      if (library && told !== known) await redraw(library);
      if (job && !running) announce("The library's work has ended");
      known = told;
      job = Boolean(running);
    }
    setTimeout(look, job ? OFTEN : SELDOM);
  };
  setTimeout(look, job ? 0 : SELDOM);
}

async function ask() {
  const response = await fetch("/api/v1/status").catch(() => null); // the server may be away for a while
  return response?.ok ? response.json() : null;
}

function say(line, job) {
  line.hidden = !job;
  line.querySelector("a").textContent = job?.line ?? "";
}

/** Bring what the server draws now into the page: only what differs is touched. */
async function redraw(library) {
  const response = await fetch(location.href).catch(() => null);
  if (!response?.ok) return;
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const fresh = page.querySelector("[data-library]");
  if (fresh) renew(library, fresh);
}

function renew(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  if (old.nodeName !== fresh.nodeName || old.childNodes.length !== fresh.childNodes.length) return old.replaceWith(fresh);
  if (old.nodeType === Node.TEXT_NODE) return void (old.data = fresh.data);
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) old.setAttribute(name, value);
  const after = [...fresh.childNodes];
  [...old.childNodes].forEach((child, place) => renew(child, after[place]));
}
