// The Compare tab's events that end in the browser. #compare is `busy` while answers are under way.

/** @import { Message } from "./conversation_records.js" */
import { attachedTo } from "./attachments.js";
import { message } from "./conversation_records.js";
import { element, find } from "./dom.js";
import { settle } from "./drawing.js";
import { focusMessageBox, showChatTab } from "./gradio_dom.js";
import { say } from "./language.js";

const FOCUS_MS = 100; // until the tab can be seen

/** @type {Map<string, string[]>} */
const picturesOf = new Map(); // the questions of this page → ids

/** @param {string | null} box @param {unknown} _attached @param {unknown[]} inputs */
export async function begin(box, _attached, ...inputs) {
  find("#compare").classList.add("busy");
  const [question, pictures] = await attachedTo("#compare-compose", box ?? "", []);
  picturesOf.set(question, pictures.ids);
  return [question, pictures, ...inputs];
}

/** @param {string | null} html */
const parse = (html) => element("template", { innerHTML: html ?? "" });

/** Have the summaries of answers that did not come to their end say so.
 * @param {string | null} together the line about all columns @param {(string | null)[]} summaries */
export function end(together, ...summaries) {
  find("#compare").classList.remove("busy");
  settle();
  const stopped = summaries.map((summary) => {
    const live = parse(summary).content.querySelector(".live");
    if (!live) return summary;
    const numbers = [...live.querySelectorAll(".numbers")].map(({ outerHTML }) => outerHTML);
    return [`<span class="cut">${say("Stopped.")}</span>`, ...numbers].join(" ");
  });
  const all = parse(together);
  all.content.querySelector(".live")?.remove();
  return [all.innerHTML, ...stopped];
}

/** The question and one answer become a turn of the chat, where an answer that was cut can be continued.
 * @param {Message[] | null} messages @param {string} _note @param {string} question @param {string} answer
 * @param {string | null} summary */
export function use(messages, _note, question, answer, summary) {
  const pictures = picturesOf.get(question) ?? [];
  const asked = message("user", question, pictures.length ? { pictures } : null);
  const turn = [asked, message("assistant", answer)];
  return [[...(messages ?? []), ...turn], summary?.includes('class="cut"') ? summary : ""];
}

export function showChat() {
  showChatTab();
  setTimeout(focusMessageBox, FOCUS_MS);
}

/** @param {string} text */
export const copy = (text) => text;
