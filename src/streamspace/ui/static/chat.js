// The chat's events that end in the browser: they cost the server nothing.
//
// Classes of #compose say where the answer is: `busy` while one is under way, when Stop stands in Send's place; then
// `ended` if the visitor ended it, `cleared` if the chat was cleared; `anew` until the new turn is kept.

/** @import { Message } from "./conversation_records.js" */
import { silence } from "./aloud.js";
import { attachedTo } from "./attachments.js";
import { thoughtDone } from "./conversation_records.js";
import { find } from "./dom.js";
import { exampleOf, isAnswerShown } from "./gradio_dom.js";
import { say } from "./language.js";
import { keepPlace } from "./reader.js";

/** @type {Record<string, string>} the text of an example → its system prompt, from the page's head */
const prompts = /** @type {any} */ (globalThis).streamspace?.prompts ?? {};
let example = ""; // the one that was clicked last

document.addEventListener("click", (event) => {
  example = exampleOf(event) ?? example;
});

/** The system prompt of an example, or the one that is there. @param {string} text @param {string | null} present */
export const promptOf = (text, present) => prompts[text.trim()] ?? present;

/** The same of the example that was clicked. @param {string | null} present */
export const examplePrompt = (present) => promptOf(example, present);

const states = () => find("#compose").classList;

export const isBusy = () => states().contains("busy");
export const isCleared = () => states().contains("cleared");

/** The note below an answer that the visitor stopped, with the numbers that it had by then. */
function stoppedNote() {
  const numbers = document.querySelector("#note .numbers")?.outerHTML ?? "";
  return `<span class="cut">${say("Stopped by you.")}</span> ${numbers}`;
}

/** A question was sent, or is asked again; gives the inputs of the event, with what is attached.
 * @param {string | null} box @param {Message[] | null} messages @param {unknown} _attached @param {unknown[]} inputs */
export async function begin(box, messages, _attached, ...inputs) {
  states().remove("ended", "cleared");
  states().add("busy", "anew");
  const [question, pictures] = await attachedTo("#compose", box ?? "", messages);
  return [question, messages, pictures, ...inputs];
}

/** The last answer goes on.
 * @param {string | null} box @param {Message[] | null} messages @param {unknown} attached @param {unknown[]} inputs */
export function resume(box, messages, attached, ...inputs) {
  const begun = begin(box, messages, attached, ...inputs);
  settle();
  return begun;
}

/** Whether the last turn is a new one, or another version of one that was there. */
export const isAnew = () => states().contains("anew");

/** The last turn is what it was. */
export const settle = () => states().remove("anew");

/** What Stop does before it ends the answer; gives the note. */
export function stop() {
  silence();
  states().add("ended");
  return isAnswerShown() ? stoppedNote() : "";
}

/** What Clear does before it ends the answer; gives the conversation, the turn under way, and the note. */
export function clear() {
  silence();
  states().add("ended", "cleared");
  return [[], [], ""];
}

/** The turn that was under way joins the conversation. Frames may have come after the click on Stop, and another note.
 * @param {Message[] | null} messages @param {Message[] | null} live */
export function joinTurn(messages, live) {
  states().remove("busy");
  if (isCleared()) return [[], [], undefined];
  keepPlace();
  const turn = (live ?? []).map(thoughtDone);
  const isStopped = states().contains("ended") && turn.at(-1)?.role === "assistant";
  return [[...(messages ?? []), ...turn], [], isStopped ? stoppedNote() : undefined];
}

/** The inputs of the event after a failure; nulls if the visitor ended the answer, which Gradio calls a failure too.
 * @param {unknown[]} inputs */
export function fail(...inputs) {
  states().remove("busy");
  return states().contains("ended") ? inputs.map(() => null) : inputs;
}
