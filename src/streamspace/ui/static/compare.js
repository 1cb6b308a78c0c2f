// The Compare tab's events that end in the browser. #compare is `busy` while answers are under way.

/** @import { Message } from "./conversation_records.js" */
/** @import { Fork } from "./conversation_versions.js" */
import { attachedTo } from "./attachments.js";
import { promptOf } from "./chat.js";
import { message } from "./conversation_records.js";
import { element, find, focusOnceSeen } from "./dom.js";
import { settle } from "./drawing.js";
import * as failures from "./failures.js";
import { focusMessageBox, isMouseOnTab, showChatTab } from "./gradio_dom.js";
import { say } from "./language.js";

const FOCUS_MS = 100; // until the tab can be seen
const BOX = "#compare-message textarea";

let isDraft = false; // whether the box has what was typed and not yet asked

document.addEventListener("input", ({ target }) => {
  if (target instanceof Element && target.matches(BOX)) isDraft = true;
});

// Who opens the tab by a mouse types next: over the message that is there, but not over what was typed before.
document.addEventListener("click", (event) => {
  if (isMouseOnTab(event, "compare-tab")) focusOnceSeen(BOX, { selects: !isDraft });
});

/** @type {Map<string, string[]>} */
const picturesOf = new Map(); // the questions of this page → ids

/** @param {string | null} box @param {unknown} _attached @param {unknown[]} inputs */
export async function begin(box, _attached, ...inputs) {
  failures.clear();
  find("#compare").classList.add("busy");
  isDraft = false;
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

/** @type {Fork | null} the answers of the columns, of which one is used in the chat */
let offered = null;

/** What the chat keeps beside the answer that it uses; once. */
export function takeOffered() {
  const fork = offered;
  offered = null;
  return fork;
}

/** The question and one answer become a turn of the chat, where an answer that was cut can be continued; the other
 * answers are its other versions.
 * @param {Message[] | null} messages @param {string} _note @param {string} question @param {string} answer
 * @param {string | null} summary @param {(string | null)[]} answers of all columns */
export function use(messages, _note, question, answer, summary, ...answers) {
  const pictures = picturesOf.get(question) ?? [];
  const asked = message("user", question, pictures.length ? { pictures } : null);
  /** @param {string} text */
  const turnOf = (text) => [asked, message("assistant", text)];
  const turn = turnOf(answer);
  const all = [...new Set(answers.filter((text) => text !== null && text !== ""))];
  const note = { text: "", cut: false };
  const branches = all.map((text) => (text === answer ? null : { messages: turnOf(text ?? ""), note, forks: [] }));
  if (branches.length > 1) offered = { at: messages?.length ?? 0, current: all.indexOf(answer), branches };
  return [[...(messages ?? []), ...turn], summary?.includes('class="cut"') ? summary : ""];
}

export function showChat() {
  showChatTab();
  setTimeout(focusMessageBox, FOCUS_MS);
}

/** An example goes into the box, and its system prompt with it. @param {string} text @param {string | null} system */
export const example = (text, system) => [text, promptOf(text, system)];

/** @param {string} text */
export const copy = (text) => text;
