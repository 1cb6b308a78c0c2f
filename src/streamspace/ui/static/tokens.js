// The view of an answer's tokens: a listbox, and a table of what else might have stood in a token's place.

import { element, find } from "./dom.js";
import { say } from "./language.js";

/**
 * The index to which a key moves, out of range at either end; undefined for other keys.
 * @param {string} key @param {number} index @param {number} last @returns {number | undefined}
 */
export function indexAfter(key, index, last) {
  /** @type {Record<string, number>} */
  const indices = {
    ArrowLeft: index - 1,
    ArrowUp: index - 1,
    ArrowRight: index + 1,
    ArrowDown: index + 1,
    Home: 0,
    End: last,
  };
  return indices[key];
}

/** @param {Event} event */
const tokenOf = ({ target }) =>
  /** @type {HTMLElement | null} */ (target instanceof Element ? target.closest("[role=option]") : null);

/** @param {string} json rows of token, percentage, and "taken" or "" */
function table(json) {
  const rows = JSON.parse(json).map((/** @type {[string, string, string]} */ [text, percent, taken]) =>
    element(
      "tr",
      { className: taken },
      element("td", {}, element("code", {}, text)),
      element("td", {}, percent),
      element("td", {}, say(taken)),
    ),
  );
  const head = [say("Token"), say("Probability"), say("Taken")].map((title) => element("th", {}, title));
  return element("table", {}, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows));
}

/**
 * Follow the pointer and the keyboard in a view, whose content comes and goes. One token can be reached by Tab, the
 * others from there.
 * @param {HTMLElement} view
 */
export function follow(view) {
  const show = (/** @type {HTMLElement | null} */ token) => {
    if (!token || token.getAttribute("aria-selected") === "true") return;
    const before = find('[tabindex="0"]', view);
    before.tabIndex = -1;
    before.setAttribute("aria-selected", "false");
    token.tabIndex = 0;
    token.setAttribute("aria-selected", "true");
    find(".likely", view).replaceChildren(table(token.dataset.likely ?? "[]"));
  };
  view.addEventListener("pointerover", (event) => show(tokenOf(event)));
  view.addEventListener("focusin", (event) => show(tokenOf(event)));
  view.addEventListener("click", (event) => tokenOf(event)?.focus());
  view.addEventListener("keydown", (event) => {
    const token = tokenOf(event);
    /** @type {HTMLElement[]} */
    const all = [...view.querySelectorAll("[role=option]")].filter((option) => option instanceof HTMLElement);
    const to = token && indexAfter(event.key, all.indexOf(token), all.length - 1);
    if (to === null || to === undefined) return;
    event.preventDefault();
    all[to]?.focus();
  });
}

/** What the view shows when its answer is gone. */
export const clear = () => "";
