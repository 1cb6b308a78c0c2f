// The view of an answer's tokens: a listbox, and a table of what else might have stood in a token's place.

import { element, find } from "./dom.js";
import { say } from "./language.js";

/** The index to which a key moves, out of range at either end; undefined for other keys.
 * @param {string} key @param {number} index @param {number} last @returns {number | undefined} */
export function indexAfter(key, index, last) {
  const [before, after] = [index - 1, index + 1];
  /** @type {Record<string, number>} */
  const indices = { ArrowLeft: before, ArrowUp: before, ArrowRight: after, ArrowDown: after, Home: 0, End: last };
  return indices[key];
}

/** @param {Event} event @returns {HTMLElement | null} */
const tokenOf = ({ target }) => (target instanceof Element ? target.closest("[role=option]") : null);

/** @param {"td" | "th"} cell @param {(Node | string)[]} contents @param {string} className */
const row = (cell, contents, className = "") =>
  element("tr", { className }, ...contents.map((content) => element(cell, {}, content)));

/** @param {[string, string, string][]} tokens text, percentage, and "taken" or "" */
function table(tokens) {
  const head = row("th", [say("Token"), say("Probability"), say("Taken")]);
  const rows = tokens.map(([text, percent, taken]) =>
    row("td", [element("code", {}, text), percent, say(taken)], taken),
  );
  return element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows));
}

/** Follow the pointer and the keyboard in a view, whose content comes and goes. Tab reaches one token, the arrow keys
 * the others. @param {HTMLElement} view */
export function follow(view) {
  const show = (/** @type {Event} */ event) => {
    const token = tokenOf(event);
    if (!token || token.getAttribute("aria-selected") === "true") return;
    const before = find('[tabindex="0"]', view);
    before.tabIndex = -1;
    before.setAttribute("aria-selected", "false");
    token.tabIndex = 0;
    token.setAttribute("aria-selected", "true");
    find(".likely", view).replaceChildren(table(JSON.parse(token.dataset.likely ?? "[]")));
  };
  view.addEventListener("pointerover", show);
  view.addEventListener("focusin", show);
  view.addEventListener("click", (event) => tokenOf(event)?.focus());
  view.addEventListener("keydown", (event) => {
    const token = tokenOf(event);
    const all = [...view.querySelectorAll("[role=option]")].filter((option) => option instanceof HTMLElement);
    const to = token && indexAfter(event.key, all.indexOf(token), all.length - 1);
    if (to === null || to === undefined) return;
    event.preventDefault();
    all[to]?.focus();
  });
}

/** What the view shows when its answer is gone. */
export const clear = () => "";
