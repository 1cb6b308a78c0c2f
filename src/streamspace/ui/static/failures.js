// What failed, in a sentence beside the box or the buttons that asked. It stays until something else is asked, or the
// visitor closes it. Gradio's script for Blocks asks here, at the place that ui/gradio_/drawing.py names.

import { element, find } from "./dom.js";
import { tabOf } from "./gradio_dom.js";
import { say } from "./language.js";

const PLACES = "#compose, #compare-compose, .completion, #run-all"; // rows with what asks
const UNDER = ".completion"; // a row with its button at the end

/** @type {Element | null} */ let asking = null; // the row where the visitor was last
/** @type {HTMLElement | null} */ let shown = null;

for (const kind of ["click", "keydown"]) {
  document.addEventListener(kind, ({ target }) => {
    if (target instanceof Element && !shown?.contains(target)) asking = rowOf(target) ?? asking;
  });
}

document.addEventListener("counted", () => clear(), true); // the line beside the box knows more of what is too long

/** The row of a control; of one in no row, the last of its tab. @param {Element} control */
const rowOf = (control) => control.closest(PLACES) ?? [...tabOf(control).querySelectorAll(PLACES)].at(-1);

/** Nothing has failed any more; gives the inputs of the event. @param {unknown[]} inputs */
export function clear(...inputs) {
  shown?.remove();
  shown = null;
  return inputs;
}

/** Say what failed; gives that it was said. @param {string} html as text that is parsed, and runs nothing */
export function show(html) {
  clear();
  const row = asking?.isConnected ? asking : find("#compose");
  const words = new DOMParser().parseFromString(html, "text/html").body.textContent;
  const close = element("button", {
    ...{ type: "button", textContent: "×", "aria-label": say("Close"), title: say("Close") },
    onclick: (/** @type {MouseEvent} */ { detail }) => {
      clear();
      const box = row.querySelector("textarea") ?? find("button", row);
      if (!detail) box.focus(); // closed by a key, and the next one shall reach something
    },
  });
  const sentence = element("p", {}, words || say("Something went wrong here: try again."));
  shown = element("div", { className: "failure", role: "alert" }, sentence, close);
  if (row.matches(UNDER)) row.after(shown);
  else row.before(shown);
  shown.scrollIntoView({ block: "nearest" });
  return true;
}
