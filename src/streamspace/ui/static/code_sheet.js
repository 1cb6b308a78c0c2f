// The sheet that shows this conversation as code, and the last answer as the model wrote it.

/** @import { Message } from "./conversation_records.js" */
/** @import { Said, Settings } from "./code.js" */
import { curl, gradioClient, openaiJavaScript, openaiPython } from "./code.js";
import { sinceSummary } from "./conversation_records.js";
import { showSheet } from "./dialogs.js";
import { element } from "./dom.js";
import { say } from "./language.js";

/** @type {{ model: string, isOpenAI: boolean, needsKey: boolean, parameters: string[] }} from the page's head */
const about = /** @type {any} */ (globalThis).streamspace?.api ?? {};
const TOLD_MS = 2000;

/** @param {Message} message */
const textOf = ({ content }) => content.map(({ text }) => text ?? "").join("");

/** A conversation to be sent, without thoughts: up to the question in the box, or else up to the last one.
 * @param {Message[]} messages @param {string} box @returns {Said[]} */
function saidIn(messages, box) {
  const said = sinceSummary(messages)
    .filter(({ metadata }) => !metadata?.title)
    .map((each) => ({ role: String(each.role), content: textOf(each) }));
  if (box.trim()) return [...said, { role: "user", content: box }];
  return said.slice(0, said.findLastIndex(({ role }) => role === "user") + 1);
}

/** The settings by their names, as a program gives them. @param {unknown[]} values @returns {Settings} */
function settingsOf(values) {
  /** @type {Settings} */
  const settings = {};
  for (const [index, name] of about.parameters.entries()) {
    const text = String(values[index] ?? "");
    if (name === "stop")
      settings.stop = text
        .split("\n")
        .filter(Boolean)
        .map((line) => line.replaceAll("\\n", "\n"));
    else if (name === "seed") settings.seed = text.trim() ? Number(text) : null;
    else settings[name] = values[index] === "" ? null : values[index];
  }
  return settings;
}

/** A text with a button that copies it. @param {string} title @param {string} text */
export function section(title, text) {
  const copy = element("button", { type: "button" }, say("Copy"));
  copy.onclick = async () => {
    await navigator.clipboard.writeText(text);
    copy.textContent = say("Copied");
    setTimeout(() => Object.assign(copy, { textContent: say("Copy") }), TOLD_MS);
  };
  const head = element("div", { className: "row" }, element("h3", {}, title), copy);
  return element("section", {}, head, element("pre", { tabIndex: 0 }, element("code", {}, text)));
}

/** @param {string | null} box @param {Message[] | null} messages @param {string | null} system
 * @param {string} thinking @param {unknown[]} values of the settings */
export function show(box, messages, system, thinking, ...values) {
  const talk = saidIn(messages ?? [], box ?? "");
  const all = talk.length ? talk : [{ role: "user", content: say("Ask something") }];
  const said = system?.trim() ? [{ role: "system", content: system }, ...all] : all;
  const settings = settingsOf(values);
  if (thinking === "true" || thinking === "false") settings.enable_thinking = thinking === "true";
  const url = new URL(".", location.href).href.replace(/\/$/, "");
  const server = { url, model: about.model, needsKey: about.needsKey };
  const openai = [
    section("curl", curl(server, settings, said)),
    section(say("OpenAI's client for Python"), openaiPython(server, settings, said)),
    section(say("OpenAI's client for JavaScript"), openaiJavaScript(server, settings, said)),
  ];
  const off = element("p", {}, say("The OpenAI API at /v1 is off here: the operator turns it on with API_KEY."));
  const answer = (messages ?? []).findLast(({ role, metadata }) => role === "assistant" && !metadata?.title);
  showSheet(
    say("View code"),
    ...(about.isOpenAI ? openai : [off]),
    section("gradio_client", gradioClient(server, settings, said)),
    ...(answer ? [section(say("The last answer as the model wrote it"), textOf(answer))] : []),
  );
}
