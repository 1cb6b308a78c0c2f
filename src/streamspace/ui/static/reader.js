// What a reader does in an answer outlives the end of the turn, when all of the answer is drawn anew: selected text,
// opened thoughts, code and tables scrolled to the side, the focus.

import { CHAT_TEXTS, FOLD, isFoldOpen, LIVE_TEXTS } from "./gradio_dom.js";

const MOST_FRAMES = 60; // until the conversation has the answer
const SCROLLERS = "pre, .table-box";
const FOCUSABLE = "a[href], button, [tabindex]";

/** A place in a text. @typedef {{ text: number, offset: number }} Place */

/** @param {string} selector @param {ParentNode} within @returns {HTMLElement[]} */
const all = (selector, within = document) =>
  [...within.querySelectorAll(selector)].filter((e) => e instanceof HTMLElement);

/** Where a point of the page is, as the number of a text and of a character in it.
 * @param {HTMLElement[]} texts @param {Node | null} node @param {number} offset @returns {Place | null} */
function placeOf(texts, node, offset) {
  const text = texts.findIndex((element) => node && element.contains(node));
  if (!node || text < 0) return null;
  const range = document.createRange();
  range.setStart(texts[text], 0);
  range.setEnd(node, offset);
  return { text, offset: range.toString().length };
}

/** The point of the page at a place: a node, and how far in it.
 * @param {HTMLElement[]} texts @param {Place} place @returns {[Node, number]} */
function pointAt(texts, { text, offset }) {
  const walker = document.createTreeWalker(texts[text], NodeFilter.SHOW_TEXT);
  let left = offset;
  while (walker.nextNode()) {
    const { length } = /** @type {Text} */ (walker.currentNode);
    if (left <= length) return [walker.currentNode, left];
    left -= length;
  }
  return [texts[text], texts[text].childNodes.length];
}

/** What a reader has done in these texts. @param {HTMLElement[]} texts */
function stateOf(texts) {
  const selection = getSelection();
  const anchor = placeOf(texts, selection?.anchorNode ?? null, selection?.anchorOffset ?? 0);
  const focus = placeOf(texts, selection?.focusNode ?? null, selection?.focusOffset ?? 0);
  return {
    selected: anchor && focus && !selection?.isCollapsed ? { anchor, focus, words: String(selection) } : null,
    scrolled: texts.map((text) => all(SCROLLERS, text).map(({ scrollLeft, scrollTop }) => ({ scrollLeft, scrollTop }))),
    folds: texts.map((text) => all(FOLD, text).map(isFoldOpen)),
    focused: texts.map((text) => all(FOCUSABLE, text).indexOf(/** @type {HTMLElement} */ (document.activeElement))),
  };
}

/** @param {HTMLElement[]} texts @param {ReturnType<typeof stateOf>} state */
function restore(texts, { selected, scrolled, focused }) {
  for (const [number, text] of texts.entries()) {
    for (const [index, scroller] of all(SCROLLERS, text).entries()) Object.assign(scroller, scrolled[number]?.[index]);
    if (document.activeElement === document.body) all(FOCUSABLE, text)[focused[number]]?.focus({ preventScroll: true });
  }
  if (!selected || !getSelection()?.isCollapsed) return;
  getSelection()?.setBaseAndExtent(...pointAt(texts, selected.anchor), ...pointAt(texts, selected.focus));
}

/** Open again what was opened; a thought that is over is folded. @param {HTMLElement[]} texts @param {boolean[][]} folds */
function unfold(texts, folds) {
  for (const [number, text] of texts.entries())
    for (const [index, fold] of all(FOLD, text).entries())
      if (folds[number]?.[index] && !isFoldOpen(fold)) fold.click();
}

/** Keep what the reader has done in the answer under way, which now joins the conversation. */
export function keepPlace() {
  const live = all(LIVE_TEXTS);
  const before = all(CHAT_TEXTS).length;
  const state = stateOf(live);
  const length = live.at(-1)?.textContent?.length ?? 0;
  let frames = 0;
  const look = () => {
    const texts = all(CHAT_TEXTS).slice(-live.length);
    const isDrawn =
      all(CHAT_TEXTS).length >= before + live.length && (texts.at(-1)?.textContent?.length ?? 0) >= length;
    frames += 1;
    if (!isDrawn && frames < MOST_FRAMES) requestAnimationFrame(look);
    if (!isDrawn) return;
    unfold(texts, state.folds);
    requestAnimationFrame(() => restore(texts, state));
  };
  if (live.length) requestAnimationFrame(look);
}
