// Files of text: which they are, and how they become part of a message. Pure.

/** A file of text. @typedef {{ name: string, text: string }} TextFile */

export const LONG_PASTE = 2500; // characters of a paste that becomes a file
export const MOST_BYTES = 8 * 2 ** 20; // of a file that is read
const MOST_NAME = 80; // characters

/** Ending of a name → language of the code, for the fence. Any other ending is its own language. */
const LANGUAGES = new Map(
  Object.entries({
    bash: "bash sh zsh",
    cpp: "cc cpp cxx hh hpp",
    csharp: "cs",
    html: "htm html",
    javascript: "cjs js jsx mjs",
    json: "json jsonl ipynb",
    kotlin: "kt kts",
    markdown: "md markdown",
    python: "py pyi",
    ruby: "rb",
    rust: "rs",
    text: "txt text log pdf",
    typescript: "cts mts ts tsx",
    yaml: "yaml yml",
  }).flatMap(([language, endings]) => endings.split(" ").map((ending) => [ending, language])),
);

const FENCE = "(`{3,})([\\w+#-]*)\\n([\\s\\S]*?)\\n\\2(?![^\\n])";
const FILE = new RegExp(`(?<![^\\n])\`([^\`\\n]+)\`:\\n${FENCE}`, "g");

/** A file's text, or null where the bytes are no text: UTF-8, or UTF-16 that says so. Lines end as those of this page.
 * @param {Uint8Array} bytes */
export function decode(bytes) {
  const isUtf16 = (bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff);
  const encoding = isUtf16 ? (bytes[0] === 0xff ? "utf-16le" : "utf-16be") : "utf-8";
  try {
    const text = new TextDecoder(encoding, { fatal: true }).decode(bytes);
    return text.includes("\0") ? null : text.replaceAll("\r\n", "\n");
  } catch {
    return null;
  }
}

/** A name that stands in one line, and ends no code. @param {string} name */
export function plainName(name) {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they would break the line
  const plain = name.replace(/[`\x00-\x1f\x7f\u2028\u2029]+/g, " ").trim();
  const characters = [...plain];
  return characters.length > MOST_NAME ? `…${characters.slice(-MOST_NAME).join("")}` : plain || "file.txt";
}

/** @param {string} name */
function languageOf(name) {
  const ending = /\.(\w{1,12})$/.exec(name)?.[1].toLowerCase() ?? "text";
  return LANGUAGES.get(ending) ?? ending;
}

/** A file as part of a message: its name, and its text in a fence that is longer than any in it. @param {TextFile} file */
function block({ name, text }) {
  const longest = Math.max(2, ...[...text.matchAll(/`+/g)].map(([run]) => run.length));
  const fence = "`".repeat(longest + 1);
  return `\`${name}\`:\n${fence}${languageOf(name)}\n${text}\n${fence}`;
}

/** What was typed, and the files after it. @param {string} typed @param {TextFile[]} files */
export const withFiles = (typed, files) => [...(typed ? [typed] : []), ...files.map(block)].join("\n\n");

/** Where files stand in a text: begin, end, name, and the fenced code. @param {string} text */
export const filesIn = (text) =>
  [...text.matchAll(FILE)].map(({ 0: all, 1: name, 4: content, index }) => {
    const code = all.slice(all.indexOf("\n") + 1);
    return { start: index, end: index + all.length, name, text: content, code };
  });

/** What `withFiles` was given; a text that it did not make is all typed. @param {string} text */
export function splitFiles(text) {
  const found = filesIn(text);
  const files = found.map(({ name, text: content }) => ({ name, text: content }));
  const typed = found.length ? text.slice(0, Math.max(0, found[0].start - 2)) : text;
  return withFiles(typed, files) === text ? { typed, files } : { typed: text, files: [] };
}

/** A question that was put back before what is typed, as what is typed and the question's files. @param {string} text */
export function putBack(text) {
  const end = filesIn(text).at(-1)?.end ?? text.length;
  const { typed, files } = splitFiles(text.slice(0, end));
  const rest = text.slice(end);
  return { typed: typed ? typed + rest : rest.replace(/^\n/, ""), files };
}

/** A name that no other file has. @param {string} name @param {string[]} others */
export function freeName(name, others) {
  const [, stem, ending] = /** @type {string[]} */ (/^(.*?)(\.\w+)?$/s.exec(name));
  let free = name;
  for (let number = 2; others.includes(free); number += 1) free = `${stem}-${number}${ending ?? ""}`;
  return free;
}
