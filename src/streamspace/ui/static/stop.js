// Gradio cannot cancel an event before the browser knows its id, and loses a turn that is stopped before its first
// frame. So a click on Stop or Clear is delayed until that frame is on the page.

import { isPending, stopButtonOf } from "./gradio_dom.js";

const LOOK_MS = 20;

/** @param {Event} event */
async function delay(event) {
  const button = stopButtonOf(event);
  if (!button || !isPending(button)) return;
  event.stopImmediatePropagation();
  while (isPending(button)) await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  if (button.checkVisibility()) button.click();
}

document.addEventListener("click", delay, true);
