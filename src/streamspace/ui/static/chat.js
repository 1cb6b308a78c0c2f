// The chat's events that end in the browser: they cost the server nothing.
//
// Classes of #compose say where the answer is: `busy` while one is under way, when Stop stands in Send's place; then
// `ended` if the visitor ended it, `cleared` if the chat was cleared.

/** @import { Message } from "./conversation_records.js" */
import { attachedTo } from "./attachments.js";
import { thoughtDone } from "./conversation_records.js";
import { find } from "./dom.js";
import { isAnswerShown } from "./gradio_dom.js";
import { say } from "./language.js";
import { keepPlace } from "./reader.js";

const states = () => find("#compose").classList;

export const isBusy = () => states().contains("busy");
export const isCleared = () => states().contains("cleared");

/** The note below an answer that the visitor stopped, with the numbers that it had by then. */
function stoppedNote() {
  const numbers = document.querySelector("#note .numbers")?.outerHTML ?? "";
  return `<span class="cut">${say("Stopped by you.")}</span> ${numbers}`;
}

/** A question was sent; gives the inputs of the event, with what is attached.
 * @param {string | null} box @param {Message[] | null} messages @param {unknown} _attached @param {unknown[]} inputs */
export async function begin(box, messages, _attached, ...inputs) {
  states().remove("ended", "cleared");
  states().add("busy");
  const [question, pictures] = await attachedTo("#compose", box ?? "", messages);
  return [question, messages, pictures, ...inputs];
}

/** What Stop does before it ends the answer; gives the note. */
export function stop() {
  states().add("ended");
  return isAnswerShown() ? stoppedNote() : "";
}

/** What Clear does before it ends the answer; gives the conversation, the turn under way, and the note. */
export function clear() {
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
