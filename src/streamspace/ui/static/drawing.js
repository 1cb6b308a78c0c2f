// How messages are drawn. Gradio's component for Markdown asks here, at the places that ui/gradio_/internals.py names.

/** @import { Token } from "./dialect.js" */
import { dialect, formula, growingTokens, typedTokens } from "./dialect.js";
import { isFromTheRight } from "./direction.js";
import { GROWING, GROWING_HERE, TYPED } from "./gradio_dom.js";

/** A piece of a text's Markdown, and what of the page shows it. @typedef {{ key: string, nodes: Node[] }} Block */

const BLOCKS = "p, li, ul, ol, h1, h2, h3, h4, h5, h6, blockquote, table, th, td, .typed";
const STRONG = /((?=\p{L})[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff\u{10800}-\u{10fff}\u{1e800}-\u{1efff}])|\p{L}/u;
const KATEX = { throwOnError: true, strict: false, maxSize: 50 };

/** @type {WeakSet<object>} */
const taught = new WeakSet(); // marked's instances that know the dialect
/** @type {Map<Element, () => void>} a growing text → draws it anew */
const growing = new Map();

/** The tokens of a text. @param {any} marked @param {string} text @param {Element | null} element where it is drawn,
 * null if that has gone @param {() => void} redraw @returns {Token[]} */
export function tokens(marked, text, element, redraw) {
  if (!taught.has(marked)) taught.add(marked.use(dialect));
  if (!element || element.closest(TYPED)) return typedTokens(marked, text);
  if (element.closest(GROWING_HERE)) growing.set(element, redraw);
  try {
    return element.closest(GROWING) ? growingTokens(marked, text) : marked.lexer(text);
  } catch {
    return typedTokens(marked, text); // lists in lists in lists, deeper than marked can go
  }
}

/** Draw the texts that grew to their ends, now that they do not grow any more. */
export function settle() {
  for (const redraw of growing.values()) redraw();
  growing.clear();
}

/** What is drawn besides, in a piece of a text that is sanitized already and is not yet on the page.
 * @param {DocumentFragment} piece @param {() => Promise<any>} loadKatex */
export async function finish(piece, loadKatex) {
  const formulas = piece.querySelectorAll(".formula");
  if (formulas.length) {
    const katex = await loadKatex().catch(() => null); // without it they stay as they were written
    if (katex) for (const element of formulas) drawFormula(element, katex);
  }
  for (const table of piece.querySelectorAll("table")) {
    const box = Object.assign(document.createElement("div"), { className: "table-box" });
    table.replaceWith(box);
    box.append(table);
  }
  // What may be too wide is scrolled by keys, too.
  for (const wide of piece.querySelectorAll("pre, .table-box")) wide.setAttribute("tabindex", "0");
  for (const block of /** @type {NodeListOf<HTMLElement>} */ (piece.querySelectorAll(BLOCKS))) {
    const direction = directionOf(block);
    const isOther = direction === "rtl" || isFromTheRight() || block.parentElement?.closest("[dir]");
    if (direction && isOther) block.dir = direction;
  }
}

/** Draw a formula; one that KaTeX refuses stays as it was written. @param {Element} element @param {any} katex */
function drawFormula(element, katex) {
  const written = element.textContent ?? "";
  const found = formula(written);
  if (!found) return;
  try {
    katex.render(found.tex, element, { ...KATEX, displayMode: found.isDisplayed });
  } catch {
    element.textContent = written;
  }
}

/** The direction of a text by its first letter; code and formulas have none. @param {Element} block */
function directionOf(block) {
  const texts = document.createTreeWalker(block, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const text = /** @type {Text} */ (texts.currentNode);
    const found = STRONG.exec(text.data);
    if (found && !text.parentElement?.closest("code, .formula")) return found[1] ? "rtl" : "ltr";
  }
  return "";
}

/** Replace blocks of a text. The first of them has mostly grown: its elements stay, and with them what a reader has
 * selected, scrolled or focused. @param {Element} parent @param {Block[]} before @param {Block[]} after
 * @param {Node | null} next what follows */
export function replace(parent, before, after, next) {
  const isKept = before.length > 0 && after.length > 0 && isGrown(before[0].nodes, after[0].nodes);
  if (isKept) {
    before[0].nodes.forEach((node, number) => {
      grow(node, after[0].nodes[number]);
    });
    after[0].nodes = before[0].nodes;
  }
  for (const { nodes } of before.slice(isKept ? 1 : 0)) for (const node of nodes) node.parentNode?.removeChild(node);
  for (const { nodes } of after.slice(isKept ? 1 : 0)) for (const node of nodes) parent.insertBefore(node, next);
}

/** @param {Node[]} before @param {Node[]} after */
const isGrown = (before, after) =>
  before.length === after.length && before.every((node, number) => isSame(node, after[number]));

/** Whether a node can become another one. Formulas and diagrams are drawn by others, as a whole.
 * @param {Node} node @param {Node} other */
const isSame = (node, other) =>
  node.nodeName === other.nodeName && !(other instanceof Element && other.matches(".formula, .mermaid"));

/** Make a node equal to another one, by as few changes as can be. @param {Node} node @param {Node} other */
function grow(node, other) {
  if (node.isEqualNode(other)) return;
  if (node instanceof Text && other instanceof Text) {
    if (other.data.startsWith(node.data)) node.appendData(other.data.slice(node.length));
    else node.data = other.data;
    return;
  }
  if (node instanceof Element && other instanceof Element) copyAttributes(node, other);
  const children = [...other.childNodes];
  for (const [number, child] of children.entries()) {
    const old = node.childNodes[number];
    if (!old) node.appendChild(child);
    else if (isSame(old, child)) grow(old, child);
    else if (!old.isEqualNode(child)) node.replaceChild(child, old);
  }
  while (node.childNodes.length > children.length && node.lastChild) node.removeChild(node.lastChild);
}

/** @param {Element} element @param {Element} other */
function copyAttributes(element, other) {
  for (const { name } of [...element.attributes]) if (!other.hasAttribute(name)) element.removeAttribute(name);
  for (const { name, value } of other.attributes) element.setAttribute(name, value);
}
