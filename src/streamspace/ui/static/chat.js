// The chat's events that end in the browser: they cost the server nothing.
//
// Classes of #compose say where the answer is: `busy` while one is under way, when Stop stands in Send's place; then
// `ended` if the visitor ended it, `cleared` if the chat was cleared; `anew` until the new turn is kept.

/** @import { Message } from "./conversation_records.js" */
import { silence } from "./aloud.js";
import { attachedTo, back, taken } from "./attachments.js";
import { putBack, sumsUp, textOf, thoughtDone } from "./conversation_records.js";
import { find } from "./dom.js";
import * as failures from "./failures.js";
import { exampleOf, isAnswerShown } from "./gradio_dom.js";
import { say } from "./language.js";
import { keepPlace } from "./reader.js";

/** @type {Record<string, string>} the text of an example → its system prompt, from the page's head */
const prompts = /** @type {any} */ (globalThis).streamspace?.prompts ?? {};
let example = ""; // the one that was clicked last
/** @type {Message[]} the conversation as it was kept last */
let shown = [];
/** @type {{ messages: Message[], note: string }} what stood there when the question was asked */
let before = { messages: [], note: "" };

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

/** The note below an answer that was cut, with the numbers that it had by then. @param {string} words */
function cutNote(words) {
  const numbers = document.querySelector("#note .numbers")?.outerHTML ?? "";
  return `<span class="cut">${words}</span> ${numbers}`;
}

const stoppedNote = () => cutNote(say("Stopped by you."));

/** A question was sent, or is asked again; gives the inputs of the event, with what is attached.
 * @param {string | null} box @param {Message[] | null} messages @param {unknown} _attached @param {unknown[]} inputs */
export async function begin(box, messages, _attached, ...inputs) {
  failures.clear();
  const note = document.querySelector("#note :is(.numbers, .cut)")?.parentElement?.innerHTML;
  // Gradio shows an edited question before it is accepted.
  const isEdit = messages?.length === shown.length;
  before = { messages: isEdit ? shown : (messages ?? []), note: note ?? "" };
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

/** This is the conversation, and no turn is under way. @param {Message[]} messages */
export function keep(messages) {
  shown = messages;
  settle();
}

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
  failures.clear();
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

/** After a failure: an answer that has begun stays, and can be continued. Without one all is as it was before, and the
 * question is back in the box. Gradio calls it a failure, too, when the visitor ends the answer.
 * @param {Message[] | null} messages @param {Message[] | null} live @param {string | null} box
 * @param {string | null} attached */
export function giveBack(messages, live, box, attached) {
  states().remove("busy");
  taken(attached); // Gradio tells it later than the failure, if both come at once
  if (states().contains("ended")) return [];
  const left = messages ?? [];
  const [accepted, ...answer] = (live ?? []).map(thoughtDone);
  const question = accepted ?? editedIn(left);
  if (!question) return []; // it is in the box
  const all = [...left, ...(accepted ? [accepted] : []), ...answer];
  if (answer.length) return [all, [], cutNote(say("Interrupted before its end; Continue takes it up again.")), box];
  const isTyped = left.length === before.messages.length && question === accepted && !sumsUp(question);
  if (isTyped && box) return [all, [], "", box];
  settle();
  const isBack = isTyped || !(sumsUp(question) || isAskedAgain(question));
  const text = isBack ? back(putBack(question), textOf(question)) : "";
  return [before.messages, [], before.note, [text, box].filter((each) => each?.trim()).join("\n")];
}

/** Whether it is the last question that was there, whose answer was to be another one. @param {Message} question */
function isAskedAgain(question) {
  const last = before.messages.findLast(({ role }) => role === "user");
  return last !== undefined && textOf(last) === textOf(question);
}

/** The question that was changed, which Gradio shows before it is accepted. @param {Message[]} messages */
const editedIn = (messages) =>
  messages.find((each, at) => each.role === "user" && textOf(each) !== textOf(before.messages[at] ?? each));
