// What stands in the message box when the page comes: what stood there before a reload, or the question of a link.

import { find, ifStored } from "./dom.js";

const DRAFT = "streamspace-draft"; // in the tab's own sessionStorage
const LOOK_MS = 100;

/** @returns {HTMLTextAreaElement} */
const box = () => /** @type {HTMLTextAreaElement} */ (find("#message textarea"));

/** Keep what is in the box when the page goes. */
export function keepDraft() {
  window.addEventListener("pagehide", () => ifStored(() => sessionStorage.setItem(DRAFT, box().value)));
}

/** What was in the box when the page went; empty if nothing was. */
export const draft = () => ifStored(() => sessionStorage.getItem(DRAFT)) ?? "";

/** The question of a link, `?q=…`, once; null for a page without one. With `&send=1` it is asked as soon as it can be. */
export function linkedQuestion() {
  const url = new URL(location.href);
  const question = url.searchParams.get("q");
  if (!question) return null;
  if (url.searchParams.get("send") === "1") sendOnce(question);
  for (const name of ["q", "send"]) url.searchParams.delete(name);
  history.replaceState(history.state, "", url);
  return question;
}

/** Ask the question that comes into the box, unless the visitor changes it. @param {string} question */
function sendOnce(question) {
  let isThere = false;
  const timer = setInterval(() => {
    const send = /** @type {HTMLButtonElement} */ (find("#send"));
    if (isThere && box().value !== question) clearInterval(timer);
    isThere ||= box().value === question;
    if (!isThere || send.disabled) return;
    clearInterval(timer);
    send.click();
  }, LOOK_MS);
}
