// Sheets over the page. The browser's own <dialog> keeps the focus in them, and Escape closes them.

import { element } from "./dom.js";
import { say } from "./language.js";

/** Show a sheet; the one before goes. @param {string} title @param {(Node | string)[]} contents */
export function showSheet(title, ...contents) {
  document.querySelector("dialog.sheet")?.remove();
  const close = element("button", { type: "button", className: "close", onclick: () => sheet.close() }, say("Close"));
  const head = element("div", { className: "row" }, element("h2", { id: "sheet-title" }, title), close);
  const sheet = element("dialog", { className: "sheet", "aria-labelledby": "sheet-title" }, head, ...contents);
  sheet.addEventListener("close", () => sheet.remove());
  sheet.addEventListener("click", ({ target }) => target === sheet && sheet.close()); // beside it
  document.body.append(sheet);
  sheet.showModal();
}

export const isSheetOpen = () => document.querySelector("dialog[open]") !== null;
