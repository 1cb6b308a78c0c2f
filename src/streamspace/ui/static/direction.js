// The whole page from right to left, in a language that is written so; gradio.css has the rules for it.

import { drawFromTheRight } from "./gradio_dom.js";
import { language } from "./language.js";

const FROM_THE_RIGHT = ["ar", "fa", "he", "ur"];

export const isFromTheRight = () => FROM_THE_RIGHT.includes(language());

// At once, before Gradio draws anything.
if (isFromTheRight()) {
  document.dir = "rtl"; // Gradio sets the language
  drawFromTheRight();
}
