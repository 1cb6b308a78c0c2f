// The button above a conversation that exports it.

import { element, find } from "./dom.js";
import { buttonsAbove } from "./gradio_dom.js";
import { say } from "./language.js";

const ICON =
  '<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.5" aria-hidden="true">' +
  '<path d="M12 4v11M7 11l5 5 5-5M5 20h14"/></svg>';

/** When the page is there. @param {() => void} onPress */
export function begin(onPress) {
  const label = say("Export JSON");
  const about = { type: "button", className: "export", title: label, "aria-label": label };
  const button = element("button", { ...about, innerHTML: ICON, onclick: onPress });
  const draw = () => {
    const place = buttonsAbove();
    if (place && !place.contains(button)) place.prepend(button);
  };
  new MutationObserver(draw).observe(find("#chat"), { childList: true, subtree: true });
  draw();
}
