// Copying over plain http from another machine, where browsers have no navigator.clipboard and Gradio's buttons rely on
// it. Browsers copy a selection there, too, as long as the visitor's click is being handled.

import { element } from "./dom.js";

/** @param {string} text */
async function writeText(text) {
  const focused = document.activeElement;
  const box = element("textarea", { value: text, readOnly: true });
  box.style.position = "fixed";
  box.style.opacity = "0";
  document.body.append(box);
  box.select();
  const isCopied = document.execCommand("copy");
  box.remove();
  if (focused instanceof HTMLElement) focused.focus({ preventScroll: true });
  if (!isCopied) throw new DOMException("The browser did not copy the text.", "NotAllowedError");
}

if (!navigator.clipboard) Object.defineProperty(navigator, "clipboard", { value: { writeText }, configurable: true });
