// ‹ 2/3 › at a question of which there are other versions.

/** @import { Branch } from "./conversation_versions.js" */
import { isFromTheRight } from "./direction.js";
import { element, find } from "./dom.js";
import { questionButtons } from "./gradio_dom.js";
import { say } from "./language.js";

/** @type {(at: number, number: number) => void} */ let choose = () => {};
/** @type {{ at: number, isNext: boolean } | null} */ let pressed = null;
/** @type {Branch} */ let shown = { messages: [], note: { text: "", cut: false }, forks: [] };

/** When the page is there. @param {(at: number, number: number) => void} onChoice */
export function begin(onChoice) {
  choose = onChoice;
  new MutationObserver(draw).observe(find("#chat"), { childList: true, subtree: true });
}

/** Draw for this conversation, as soon as the page shows it. @param {Branch} branch */
export function show(branch) {
  shown = branch;
  draw();
}

/** Gradio draws the messages, and draws some of them anew: so each time what is missing comes, and what is over goes. */
function draw() {
  const places = questionButtons();
  const wanted = new Map(shown.forks.map((fork) => [places[ordinalOf(fork.at)], fork]));
  for (const place of new Set(places)) {
    const fork = wanted.get(place);
    const there = place.querySelector(":scope > .versions");
    const words = fork ? `${fork.current + 1}/${fork.branches.length}` : "";
    if ((there?.textContent ?? "") === (words && `‹${words}›`)) continue;
    there?.remove();
    if (!fork) continue;
    place.append(pager(fork.at, fork.current, fork.branches.length, words));
    if (pressed?.at === fork.at) focus(place, pressed.isNext);
  }
}

/** The number of the question at this index, among the questions. @param {number} at */
const ordinalOf = (at) => shown.messages.slice(0, at).filter(({ role }) => role === "user").length;

/** Keep the focus at the button that was pressed, or at the other where that one leads nowhere any more.
 * @param {Element} place @param {boolean} isNext */
function focus(place, isNext) {
  pressed = null;
  const [before, next] = [...place.querySelectorAll(".versions button")].filter(
    (each) => each instanceof HTMLButtonElement,
  );
  const [wanted, other] = isNext ? [next, before] : [before, next];
  (wanted.disabled ? other : wanted).focus();
}

/** @param {number} at @param {number} current @param {number} number @param {string} words */
function pager(at, current, number, words) {
  /** @param {number} to */
  const go = (to) => {
    pressed = { at, isNext: to > current };
    choose(at, to);
  };
  /** @param {string} text @param {string} label @param {number} to */
  const button = (text, label, to) => {
    const about = { type: "button", textContent: text, "aria-label": label, title: label };
    return element("button", { ...about, disabled: to < 0 || to >= number, onclick: () => go(to) });
  };
  const made = element(
    "div",
    { className: "versions", role: "group", "aria-label": say("Versions of this turn") },
    button("‹", say("The version before"), current - 1),
    element("span", { role: "status" }, words),
    button("›", say("The next version"), current + 1),
  );
  made.addEventListener("keydown", ({ key }) => {
    const [before, next] = isFromTheRight() ? ["ArrowRight", "ArrowLeft"] : ["ArrowLeft", "ArrowRight"];
    const to = current + (key === next ? 1 : key === before ? -1 : 0);
    if (to !== current && to >= 0 && to < number) go(to);
  });
  return made;
}
