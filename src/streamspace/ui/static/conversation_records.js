// A conversation as a record: its texts, its title, what the page shows of it, and its files. Pure.

/** @import { Fork } from "./conversation_versions.js" */
import { areForks, mapped, otherMessages } from "./conversation_versions.js";
import { say } from "./language.js";
import { fromMarkdown, toMarkdown } from "./markdown.js";
import { isPictureUrl, remember } from "./pictures.js";
import { splitFiles } from "./text_files.js";

/** A message as Gradio's Chatbot has it, with its text as it was written. A thought is a message of its own, with a title.
 * So is a tool's call; its id says so. A question has the ids of its pictures.
 * @typedef {{ title?: string, status?: string, duration?: number, id?: string, pictures?: string[] }} Metadata
 * @typedef {{ type: "text", text: string }} Part
 * @typedef {{ role: "user" | "assistant", metadata: Metadata | null, content: Part[], options: null }} Message
 *
 * The line below the conversation, and whether it offers Continue.
 * @typedef {{ text: string, cut: boolean }} Note
 *
 * What the page shows: `messages` and `live`, the turn under way, are the values of the two Chatbots; `forks` are the
 * turns of which there are other versions.
 * @typedef {{ messages: Message[], live: Message[], note: Note, system: string, forks: Fork[] }} Content
 *
 * A record with a turn under way was interrupted. `revision` changes with each save: a tab that finds another revision
 * than it knows goes on with a copy, so that two tabs never overwrite each other. `title` is null until the visitor
 * gives one; `updated` is in milliseconds of Unix time.
 * @typedef {{ version: number, id: string, revision: string, title: string | null, updated: number }} Head
 * @typedef {Content & Head} ConversationRecord */

export const VERSION = 3; // of a record
const FILE_VERSION = 1; // of an exported file
const FORMAT = "streamspace-conversations";
const TITLE_LENGTH = 60;
const TOOL = "tool"; // the id of what a fold has that is no thought
const SUMMARY = "summary"; // the id of a question whose answer stands for all that was before

export const randomId = () => [...crypto.getRandomValues(new Uint32Array(4))].map((part) => part.toString(36)).join("");

// ---- Texts

/** @param {Message["role"]} role @param {string} text @param {Message["metadata"]} metadata
 * @returns {Message} */
export function message(role, text, metadata = null) {
  return { role, metadata, content: [{ type: "text", text }], options: null };
}

/** @param {Message} message */
export const textOf = ({ content }) => content.map(({ text }) => text).join("");
/** @param {Pick<Content, "messages" | "live">} content */
const allMessages = ({ messages, live }) => [...messages, ...live];
/** Whether its answer stands for all that was before. @param {Pick<Message, "role" | "metadata">} message */
export const sumsUp = ({ role, metadata }) => role === "user" && metadata?.id === SUMMARY;
/** What of a conversation a model gets. @param {Message[]} messages */
export function sinceSummary(messages) {
  const at = messages.findLastIndex((each, index) => sumsUp(each) && messages[index + 1]?.role === "assistant");
  return messages.slice(Math.max(at, 0));
}
/** @param {string} text */
export const oneLine = (text) => text.replace(/\s+/g, " ").trim();

/** The ids of all pictures. @param {Pick<Content, "messages" | "live"> & { forks?: Fork[] }} content */
export const pictureIds = (content) =>
  [...allMessages(content), ...otherMessages(content.forks ?? [])].flatMap(({ metadata }) => metadata?.pictures ?? []);

/** The visitor's own title, or the first question, cut at a word. @param {ConversationRecord} record */
export function titleOf(record) {
  if (record.title) return record.title;
  const question = allMessages(record).find(({ role }) => role === "user");
  const { typed, files } = splitFiles(question ? textOf(question) : "");
  const characters = [...oneLine(typed || files.map(({ name }) => name).join(", "))];
  if (characters.length <= TITLE_LENGTH) return characters.join("") || say("Conversation");
  const cut = characters.slice(0, TITLE_LENGTH).join("");
  return `${cut.lastIndexOf(" ") > TITLE_LENGTH / 2 ? cut.slice(0, cut.lastIndexOf(" ")) : cut}…`;
}

/** Whether the words, in lower case, are in the title or in a text.
 * @param {ConversationRecord} record @param {string} words */
export function matches(record, words) {
  const messages = [...allMessages(record), ...otherMessages(record.forks)];
  const texts = [titleOf(record), record.system, ...messages.map(textOf)];
  return texts.some((text) => text.toLowerCase().includes(words));
}

/** The message; if it is a thought, as one that has ended. @param {Message} message @returns {Message} */
export const thoughtDone = ({ metadata, ...rest }) => ({
  ...rest,
  metadata: metadata?.title && metadata.id !== TOOL ? { ...metadata, title: say("Thought"), status: "done" } : metadata,
});

// ---- Checks

/** @param {unknown} value */
const isText = (value) => typeof value === "string";
/** @param {unknown} value @param {(item: any) => boolean} isItem */
const isList = (value, isItem) => Array.isArray(value) && value.every(isItem);
/** @param {unknown} role */
const isRole = (role) => role === "user" || role === "assistant";
/** @param {any} value */
const isMetadata = (value) =>
  value == null || (typeof value === "object" && isText(value.title ?? "") && isList(value.pictures ?? [], isText));
/** @param {any} part */
const isPart = (part) => part?.type === "text" && isText(part.text);
/** @param {any} value */
const isMessage = (value) => isRole(value?.role) && isList(value.content, isPart) && isMetadata(value.metadata);

/** @param {any} list */
const areMessages = (list) => isList(list, isMessage);

/** @param {any} value @returns {value is ConversationRecord} */
export const isRecord = (value) =>
  value?.version === VERSION &&
  [value.id, value.revision, value.system, value.note?.text].every(isText) &&
  (value.title === null || isText(value.title)) &&
  Number.isFinite(value.updated) &&
  [value.messages, value.live].every(areMessages) &&
  areForks(value.forks, value.messages.length + value.live.length, areMessages);

/** @param {any} value */
export const isNewer = (value) => value?.version > VERSION;

/** A record in the form of this version: the first one kept texts as Markdown that shows HTML as words, and the second
 * one had no other versions of a turn. What is no record stays as it is. @param {any} value */
export function upgraded(value) {
  if (value?.version === 2) return { ...value, version: VERSION, forks: [] };
  if (value?.version !== 1 || !isRecord({ ...value, version: VERSION, forks: [] })) return value;
  /** @param {Message[]} list */
  const texts = (list) => list.map((old) => ({ ...old, content: [{ type: "text", text: fromMarkdown(textOf(old)) }] }));
  return { ...value, version: VERSION, messages: texts(value.messages), live: texts(value.live), forks: [] };
}

// ---- What the page shows

/** The value that has a question's pictures attached again; it differs each time. @param {Message} question */
export const putBack = ({ metadata }) => ["back", randomId(), ...(metadata?.pictures ?? [])].join(" ");

/** @param {string} text @param {boolean} isCut */
function noteHtml(text, isCut = false) {
  const escaped = text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  return text && `<span${isCut ? ' class="cut"' : ""}>${escaped}</span>`;
}

/** The values of the page's components: id, conversation, turn under way, note, system prompt, message box, attached
 * pictures. If a turn was interrupted before its answer began, its question goes back into the box, unless the visitor
 * typed another one. @param {ConversationRecord} record @param {string | null} box */
export function pageValues({ id, messages, live, note, system }, box) {
  /** @param {Message[]} more @param {string} html @param {string} [question] */
  const values = (more, html, question) => {
    const attached = question === undefined ? undefined : putBack(live[0]);
    return [id, [...messages, ...more], [], html, system, question, attached];
  };
  if (!live.length) return values([], noteHtml(note.text, note.cut));
  if (live.some((message) => message.role === "assistant" && textOf(message))) {
    return values(live.map(thoughtDone), noteHtml(say("Interrupted by a reload; Continue takes it up again."), true));
  }
  const question = textOf(live[0]);
  if (box && box !== question) {
    const words = say("Interrupted by a reload before the answer began: copy the question to ask it again.");
    return values([live[0]], noteHtml(words));
  }
  const words = say("Interrupted by a reload before the answer began; the question is back in the box.");
  return values([], noteHtml(words), question);
}

// ---- Files

/** Picture's id → data URL. @typedef {Record<string, string>} Pixels */

/** Messages in a file, with their pictures. @param {Message[]} messages @param {Pixels} pixels */
const toFileMessages = (messages, pixels) =>
  messages.map((message) => {
    const metadata = message.metadata?.title || sumsUp(message) ? { metadata: message.metadata } : {};
    const pictures = (message.metadata?.pictures ?? []).flatMap((id) => pixels[id] ?? []);
    return { role: message.role, content: textOf(message), ...metadata, ...(pictures.length ? { pictures } : {}) };
  });

/** A conversation in a file: its texts as they were written and answered, its pictures, and its other versions.
 * @param {ConversationRecord} record @param {Pixels} pixels */
function toFile(record, pixels) {
  /** @param {Message[]} messages */
  const change = (messages) => toFileMessages(messages, pixels);
  const versions = record.forks.length ? { forks: mapped(record.forks, change) } : {};
  const updated = new Date(record.updated).toISOString();
  const messages = change(allMessages(record));
  return { title: titleOf(record), updated, system_prompt: record.system, messages, ...versions };
}

/** Messages of a file, checked. @param {any[]} messages @returns {Message[]} */
const fromFileMessages = (messages) =>
  messages.map(({ role, content, metadata, pictures = [] }) => {
    if (!isRole(role) || !isText(content) || !isMetadata(metadata)) throw new TypeError("No message");
    if (!isList(pictures, isPictureUrl)) throw new TypeError("No pictures");
    if (pictures.length) return message(role, content, { pictures: pictures.map(newPicture) });
    if (sumsUp({ role, metadata })) return message(role, content, { id: SUMMARY });
    if (!metadata?.title) return message(role, content);
    const duration = Number(metadata.duration) || 0;
    const id = metadata.id === TOOL ? { id: TOOL } : {};
    return message(role, content, { title: metadata.title, status: "done", duration, ...id });
  });

/** A record of what a file has, checked, and with nothing else of it; throws an error if it is no conversation.
 * @param {any} conversation @returns {ConversationRecord} */
function fromFile({ title, updated, system_prompt: system, messages, forks = [] }) {
  if (![title, system].every(isText) || !messages.length) throw new TypeError("No conversation");
  const read = fromFileMessages(messages);
  const others = mapped(forks, fromFileMessages);
  if (!areForks(others, read.length, areMessages)) throw new TypeError("No versions");
  const head = { version: VERSION, id: randomId(), revision: randomId(), title: null };
  const content = { messages: read, live: [], note: { text: "", cut: false }, system, forks: others };
  const record = { ...head, ...content, updated: Date.parse(updated) || Date.now() };
  const given = oneLine(title);
  return { ...record, title: given === titleOf(record) ? null : given || null };
}

/** @param {string} url */
function newPicture(url) {
  const id = randomId();
  remember(id, url);
  return id;
}

/** @param {ConversationRecord[]} records @param {Pixels} pixels
 * @param {unknown[]} aside what is left of damaged records */
export function toJsonFile(records, pixels, aside = []) {
  const conversations = records.map((record) => toFile(record, pixels));
  const content = { conversations, ...(aside.length ? { aside } : {}) };
  return JSON.stringify({ format: FORMAT, version: FILE_VERSION, ...content }, null, 2);
}

/** A Markdown file. Comments with a random word, which no text can hold, separate its sections, so that it can be read
 * back. @param {ConversationRecord} record @param {Pixels} pixels */
export function toMarkdownFile(record, pixels) {
  const { title, updated, system_prompt, messages, forks } = toFile(record, pixels);
  const mark = randomId();
  const headings = { system: say("System prompt"), user: say("You"), assistant: say("Assistant") };
  /** @param {string} word @param {object} value */
  const comment = (word, value) => `<!-- ${word} ${JSON.stringify(value).replaceAll(">", "\\u003e")} -->\n`;
  const system = { role: /** @type {const} */ ("system"), content: system_prompt, pictures: [] };
  const sections = [system, ...messages]
    .filter(({ content, pictures }) => content || pictures?.length)
    .map(({ content, pictures = [], ...about }) => {
      const head = comment(mark, pictures.length ? { ...about, pictures: pictures.length } : about);
      const images = pictures.map((url) => `![](${url})\n\n`).join("");
      return `\n${head}## ${headings[about.role]}\n\n${images}${toMarkdown(content)}\n`;
    });
  return `${comment(FORMAT, { version: FILE_VERSION, mark, updated, forks })}# ${toMarkdown(title)}\n${sections.join("")}`;
}

/** A file of a newer version of this page. */
export class NewerFile extends Error {}

/** The records of an exported file's text; throws NewerFile, or another error for a file that was not exported here.
 * @param {string} text @returns {ConversationRecord[]} */
export function parseFile(text) {
  const records = conversationsIn(text).map(fromFile);
  if (!records.length) throw new TypeError("No conversations");
  return records;
}

/** The conversations of a file's text, as `toFile` made them; throws NewerFile, or another error for any other text.
 * @param {string} text @returns {any[]} */
function conversationsIn(text) {
  const head = new RegExp(`^<!-- ${FORMAT} (\\{[^\n]*\\}) -->(\r?)\n# ([^\n]*)\n`).exec(text);
  const file = JSON.parse(head ? head[1] : text);
  if (file?.version > FILE_VERSION) throw new NewerFile();
  if (!head) return file?.format === FORMAT ? file.conversations : [];
  const [, ...sections] = (head[2] ? text.replaceAll("\r\n", "\n") : text).split(`\n<!-- ${file.mark} `);
  const all = sections.map((section) => {
    const [, about, content] = /** @type {string[]} */ (/^(\{[^\n]*\}) -->\n## [^\n]*\n\n([\s\S]*?)\n?$/.exec(section));
    const { pictures: number = 0, ...head } = JSON.parse(about);
    const { pictures, rest } = imagesOf(content, number);
    return { ...head, content: fromMarkdown(rest), ...(number ? { pictures } : {}) };
  });
  const system_prompt = all.flatMap(({ role, content }) => (role === "system" ? [content] : [])).join("");
  const messages = all.filter(({ role }) => role !== "system");
  return [{ title: fromMarkdown(head[3].trim()), updated: file.updated, system_prompt, messages, forks: file.forks }];
}

/** The pictures that a section of a Markdown file begins with, and its text. @param {string} content
 * @param {number} number */
function imagesOf(content, number) {
  const pictures = [];
  let rest = content;
  for (let count = 0; count < number; count += 1) {
    const end = rest.indexOf(")\n\n");
    pictures.push(rest.slice("![](".length, end));
    rest = rest.slice(end + ")\n\n".length);
  }
  return { pictures, rest };
}
