// Answers read aloud by the browser's own voices. Those that send the text to a server are left out.

import { element, find } from "./dom.js";
import { answerButtons } from "./gradio_dom.js";
import { language, say } from "./language.js";

const UNSPOKEN = "pre, button, .thought-group, .katex-html, annotation"; // of katex-html the formula is beside it
const BLOCKS = "p, li, h1, h2, h3, h4, h5, h6, th, td, br";
const ICON =
  '<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.5" aria-hidden="true">' +
  '<path d="M4 9v6h4l5 4V5L8 9z"/><path d="M16 9a4 4 0 0 1 0 6M18.5 6.5a8 8 0 0 1 0 11"/></svg>';
const LATIN = ["de", "en", "es", "fr", "pt"]; // of the page's languages
/** @type {[string, RegExp][]} */
const SCRIPTS = [
  ["zh", /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}]/gu],
  ["ko", /\p{Script=Hangul}/gu],
  ["ar", /\p{Script=Arabic}/gu],
  ["ru", /\p{Script=Cyrillic}/gu],
  ["el", /\p{Script=Greek}/gu],
  ["he", /\p{Script=Hebrew}/gu],
  ["hi", /\p{Script=Devanagari}/gu],
  ["th", /\p{Script=Thai}/gu],
];

/** @type {HTMLButtonElement | null} */ let pressed = null; // of the answer that is being read

/** The language of a text by its letters; Latin ones say nothing, so that it is the page's then.
 * @param {string} text @param {string} ofPage */
export function languageOf(text, ofPage) {
  const least = (text.match(/\p{L}/gu)?.length ?? 0) / 3; // a Latin word has more letters
  const [found] = SCRIPTS.find(([, letters]) => (text.match(letters)?.length ?? 0) > least) ?? [];
  if (found === "zh" && /[\p{Script=Hiragana}\p{Script=Katakana}]/u.test(text)) return "ja";
  return found ?? (LATIN.includes(ofPage) ? ofPage : "en");
}

/** @param {string} spoken */
function voiceFor(spoken) {
  const own = speechSynthesis.getVoices().filter(({ lang, localService }) => localService && lang.startsWith(spoken));
  return own.find((voice) => voice.default) ?? own[0];
}

/** What is read of an answer: its paragraphs, without marks, code and thoughts. @param {Element} answer */
function paragraphs(answer) {
  const copy = /** @type {Element} */ (answer.cloneNode(true));
  for (const silent of copy.querySelectorAll(UNSPOKEN)) silent.remove();
  for (const block of copy.querySelectorAll(BLOCKS)) block.after("\n");
  return (copy.textContent ?? "")
    .trim()
    .split(/\s*\n\s*/)
    .filter((part) => /[\p{L}\p{N}]/u.test(part));
}

/** Read no more. */
export function silence() {
  pressed?.setAttribute("aria-pressed", "false");
  pressed = null;
  globalThis.speechSynthesis?.cancel();
}

/** @param {HTMLButtonElement} button @param {Element} answer */
function press(button, answer) {
  const isOver = button === pressed;
  silence();
  if (isOver) return;
  const parts = paragraphs(answer);
  const lang = languageOf(parts.join("\n"), language());
  const spoken = parts.map((part) =>
    Object.assign(new SpeechSynthesisUtterance(part), { lang, voice: voiceFor(lang) }),
  );
  spoken.at(-1)?.addEventListener("end", () => button === pressed && silence());
  pressed = button;
  button.setAttribute("aria-pressed", "true");
  for (const each of spoken) speechSynthesis.speak(each);
}

/** Each answer that a voice of this browser can read has a button. */
function draw() {
  for (const { place, answer } of answerButtons()) {
    if (place.querySelector(":scope > .aloud")) continue;
    if (!voiceFor(languageOf(answer.textContent ?? "", language()))) continue;
    const label = say("Read aloud");
    const about = { type: "button", className: "aloud", title: label, "aria-label": label, "aria-pressed": "false" };
    const button = element("button", { ...about, innerHTML: ICON, onclick: () => press(button, answer) });
    place.append(button);
  }
}

/** When the page is there. */
export function begin() {
  if (!globalThis.speechSynthesis) return;
  new MutationObserver(draw).observe(find("#chat"), { childList: true, subtree: true });
  speechSynthesis.addEventListener("voiceschanged", draw); // browsers find them late
  addEventListener("pagehide", silence);
  draw();
}
