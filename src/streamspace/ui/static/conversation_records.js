// A conversation as a record: its texts, its title, what the page shows of it, and its files. Pure.

import { say } from "./language.js";
import { fromMarkdown, toMarkdown } from "./markdown.js";

/**
 * A message as Gradio's Chatbot has it, its text as Markdown. A thought is a message of its own, with a title.
 * @typedef {{ title: string, status?: string, duration?: number }} Metadata
 * @typedef {{
 *   role: "user" | "assistant", metadata: Metadata | null, content: { type: "text", text: string }[], options: null,
 * }} Message
 *
 * The line below the conversation, and whether it offers Continue.
 * @typedef {{ text: string, cut: boolean }} Note
 *
 * What the page shows: the values of the two Chatbots, of which `live` is the turn under way.
 * @typedef {{ messages: Message[], live: Message[], note: Note, system: string }} Content
 *
 * One that has a turn under way when it is opened was interrupted. `revision` changes with each save: a tab that finds
 * another one than it knows goes on with a copy, so that two tabs never overwrite each other. `title` is null until the
 * visitor gives one; `updated` is in milliseconds of Unix time.
 * @typedef {Content & {
 *   version: number, id: string, revision: string, title: string | null, updated: number,
 * }} ConversationRecord
 *
 * A conversation in a file: texts as they were written and answered.
 * @typedef {{ role: string, content: string, metadata?: Metadata | null }} FileMessage
 * @typedef {{ title: string, updated: string, system_prompt: string, messages: FileMessage[] }} FileConversation
 */

export const VERSION = 1; // of a record and of an exported file
const FORMAT = "streamspace-conversations";
const TITLE_LENGTH = 60;
const ROLES = ["user", "assistant"];

export const randomId = () => [...crypto.getRandomValues(new Uint32Array(4))].map((part) => part.toString(36)).join("");

// ---- Texts

/**
 * @param {"user" | "assistant"} role @param {string} text as Markdown @param {Metadata | null} metadata
 * @returns {Message}
 */
export const message = (role, text, metadata = null) => ({
  role,
  metadata,
  content: [{ type: "text", text }],
  options: null,
});

/** @param {Message} message */
const textOf = ({ content }) => fromMarkdown(content.map(({ text }) => text).join(""));

/** @param {ConversationRecord} record */
const allMessages = ({ messages, live }) => [...messages, ...live];

/** @param {string} text */
export const oneLine = (text) => text.replace(/\s+/g, " ").trim();

/** The visitor's own title, or the first question, cut at a word. @param {ConversationRecord} record */
export function titleOf(record) {
  if (record.title) return record.title;
  const question = allMessages(record).find(({ role }) => role === "user");
  const characters = [...oneLine(question ? textOf(question) : "")];
  if (characters.length <= TITLE_LENGTH) return characters.join("") || say("Conversation");
  const cut = characters.slice(0, TITLE_LENGTH).join("");
  return `${cut.lastIndexOf(" ") > TITLE_LENGTH / 2 ? cut.slice(0, cut.lastIndexOf(" ")) : cut}…`;
}

/**
 * Whether the words, in lower case, are in the title or in a text.
 * @param {ConversationRecord} record @param {string} words
 */
export const matches = (record, words) =>
  [titleOf(record), record.system, ...allMessages(record).map(textOf)].some((text) =>
    text.toLowerCase().includes(words),
  );

/** The message; if it is a thought, one that has ended. @param {Message} message @returns {Message} */
export const thoughtDone = (message) =>
  message.metadata?.title
    ? { ...message, metadata: { ...message.metadata, title: say("Thought"), status: "done" } }
    : message;

// ---- Checks

/** @param {unknown} value @returns {value is string} */
const isText = (value) => typeof value === "string";

/** @param {any} value */
const isMetadata = (value) => value == null || (typeof value === "object" && isText(value.title ?? ""));

/** @param {any} value */
const isMessage = (value) =>
  ROLES.includes(value?.role) &&
  Array.isArray(value.content) &&
  value.content.every((/** @type {any} */ part) => part?.type === "text" && isText(part.text)) &&
  isMetadata(value.metadata);

/** @param {any} value @returns {value is ConversationRecord} */
export const isRecord = (value) =>
  value?.version === VERSION &&
  [value.id, value.revision, value.system, value.note?.text].every(isText) &&
  (value.title === null || isText(value.title)) &&
  Number.isFinite(value.updated) &&
  [value.messages, value.live].every((list) => Array.isArray(list) && list.every(isMessage));

/** @param {any} value */
export const isNewer = (value) => value?.version > VERSION;

// ---- What the page shows

/** @param {string} text @param {boolean} isCut */
function noteHtml(text, isCut = false) {
  const escaped = text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  return text && `<span${isCut ? ' class="cut"' : ""}>${escaped}</span>`;
}

/**
 * The values of the page's components: id, conversation, turn under way, note, system prompt, message box. The question
 * of a turn that was interrupted before its answer began goes back into the box, unless the visitor typed another one.
 * @param {ConversationRecord} record @param {string | null} box
 */
export function pageValues({ id, messages, live, note, system }, box) {
  /** @param {Message[]} more @param {string} html @param {string} [question] */
  const values = (more, html, question) => [id, [...messages, ...more], [], html, system, question];
  if (!live.length) return values([], noteHtml(note.text, note.cut));
  if (live.some((message) => message.role === "assistant" && textOf(message))) {
    return values(live.map(thoughtDone), noteHtml(say("Interrupted by a reload; Continue takes it up again."), true));
  }
  const question = textOf(live[0]);
  return box && box !== question
    ? values(
        [live[0]],
        noteHtml(say("Interrupted by a reload before the answer began: copy the question to ask it again.")),
      )
    : values(
        [],
        noteHtml(say("Interrupted by a reload before the answer began; the question is back in the box.")),
        question,
      );
}

// ---- Files

/** @param {ConversationRecord} record @returns {FileConversation} */
const toFile = (record) => ({
  title: titleOf(record),
  updated: new Date(record.updated).toISOString(),
  system_prompt: record.system,
  messages: allMessages(record).map((message) => ({
    role: message.role,
    content: textOf(message),
    ...(message.metadata?.title ? { metadata: message.metadata } : {}),
  })),
});

/**
 * A record of what a file has, checked, and with nothing else of it; null if it is no conversation.
 * @param {any} conversation @returns {ConversationRecord | null}
 */
function fromFile(conversation) {
  const isGood =
    [conversation?.title, conversation?.system_prompt].every(isText) &&
    Array.isArray(conversation.messages) &&
    conversation.messages.length > 0 &&
    conversation.messages.every(
      (/** @type {any} */ { role, content, metadata } = {}) =>
        ROLES.includes(role) && isText(content) && isMetadata(metadata),
    );
  if (!isGood) return null;
  const updated = Date.parse(conversation.updated);
  const record = {
    version: VERSION,
    id: randomId(),
    revision: randomId(),
    title: null,
    updated: Number.isFinite(updated) ? updated : Date.now(),
    system: conversation.system_prompt,
    note: { text: "", cut: false },
    messages: conversation.messages.map((/** @type {any} */ { role, content, metadata }) => {
      const thought = metadata?.title && {
        title: toMarkdown(metadata.title),
        status: "done",
        duration: Number(metadata.duration) || 0,
      };
      return message(role, toMarkdown(content), thought || null);
    }),
    live: [],
  };
  const title = oneLine(conversation.title);
  return { ...record, title: title === titleOf(record) ? null : title || null };
}

/** @param {ConversationRecord[]} records @param {unknown[]} aside what is left of damaged records */
export const toJsonFile = (records, aside = []) =>
  JSON.stringify(
    { format: FORMAT, version: VERSION, conversations: records.map(toFile), ...(aside.length ? { aside } : {}) },
    null,
    2,
  );

/** @param {string} role */
const heading = (role) => (role === "system" ? say("System prompt") : role === "user" ? say("You") : say("Assistant"));

/**
 * A Markdown file: sections behind comments with a random word that no text can hold, so that it can be read back.
 * @param {ConversationRecord} record
 */
export function toMarkdownFile(record) {
  const { title, updated, system_prompt, messages } = toFile(record);
  const sections = [{ role: "system", content: system_prompt }, ...messages].filter(({ content }) => content);
  const mark = randomId();
  /** @param {string} word @param {unknown} value */
  const comment = (word, value) => `<!-- ${word} ${JSON.stringify(value).replaceAll(">", "\\u003e")} -->\n`;
  return [
    comment(FORMAT, { version: VERSION, mark, updated }),
    `# ${toMarkdown(title)}\n`,
    ...sections.map(
      ({ content, ...section }) => `\n${comment(mark, section)}## ${heading(section.role)}\n\n${toMarkdown(content)}\n`,
    ),
  ].join("");
}

/** A file of a newer version of this page. */
export class NewerFile extends Error {}

/**
 * The records of an exported file's text; throws NewerFile, or another error for a file that was not exported here.
 * @param {string} text @returns {ConversationRecord[]}
 */
export function parseFile(text) {
  const records = conversationsIn(text).map(fromFile);
  if (!records.length || records.includes(null)) throw new TypeError("No conversations");
  return /** @type {ConversationRecord[]} */ (records);
}

/**
 * The conversations of a file's text, as `toFile` made them; throws NewerFile, or another error for any other text.
 * @param {string} text @returns {any[]}
 */
function conversationsIn(text) {
  const head = new RegExp(`^<!-- ${FORMAT} (\\{[^\n]*\\}) -->(\r?)\n# ([^\n]*)\n`).exec(text);
  const file = JSON.parse(head ? head[1] : text);
  if (isNewer(file)) throw new NewerFile();
  if (!head) return file?.format === FORMAT ? file.conversations : [];
  const [, ...sections] = (head[2] ? text.replaceAll("\r\n", "\n") : text).split(`\n<!-- ${file.mark} `);
  const messages = sections.map((section) => {
    const [, about, content] = /** @type {string[]} */ (/^(\{[^\n]*\}) -->\n## [^\n]*\n\n([\s\S]*?)\n?$/.exec(section));
    return { ...JSON.parse(about), content: fromMarkdown(content) };
  });
  return [
    {
      title: fromMarkdown(head[3].trim()),
      updated: file.updated,
      system_prompt: messages.flatMap(({ role, content }) => (role === "system" ? [content] : [])).join(""),
      messages: messages.filter(({ role }) => role !== "system"),
    },
  ];
}
