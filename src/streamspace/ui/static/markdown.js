// The same as streamspace/markdown.py, for the texts that never go to the server; a test compares them.

// Fenced code to its end, or a run of backticks, which may begin code within a line.
const CODE = /(?<![^\n])[ ]{0,3}(`{3,}|~{3,})[\s\S]*?(?:(?<![^\n])[ ]{0,3}\1[`~]*[ \t]*(?![^\n])|(?![\s\S]))|`+/g;
const RUN_OR_BLANK_LINE = /`+|\n[ \t]*(?=\n)/g;
const TAG = /<(?=[A-Za-z/!?])/g;
const ENTITY = /&(?=#?[\p{L}\p{N}_]+;)/gu;
const LESS = /&lt;(?=[A-Za-z/!?])/g;
const AMPERSAND = /&amp;(?=#?[\p{L}\p{N}_]+;)/gu;

/** The text as Markdown that shows HTML as it was written. @param {string} text */
export function toMarkdown(text) {
  if (!/[<&]/.test(text)) return text;
  return outsideCode(text, (part) => part.replace(ENTITY, "&amp;").replace(TAG, "&lt;"));
}

/** The text that `toMarkdown` was given. @param {string} markdown */
export function fromMarkdown(markdown) {
  if (!markdown.includes("&")) return markdown;
  return outsideCode(markdown, (part) => part.replace(LESS, "<").replace(AMPERSAND, "&"));
}

/** @param {string} text @param {(part: string) => string} change */
function outsideCode(text, change) {
  const parts = [];
  let start = 0;
  for (const [codeStart, codeEnd] of code(text)) {
    parts.push(change(text.slice(start, codeStart)), text.slice(codeStart, codeEnd));
    start = codeEnd;
  }
  return [...parts, change(text.slice(start))].join("");
}

/** Where code begins and ends: between fences, or equal runs of backticks in one paragraph. @param {string} text */
function code(text) {
  const ends = endsWithinParagraphs(text);
  /** @type {[number, number][]} */
  const found = [];
  let position = 0;
  for (;;) {
    CODE.lastIndex = position;
    const match = CODE.exec(text);
    if (!match) return found;
    const end = match[1] ? CODE.lastIndex : ends.get(match.index);
    if (end) found.push([match.index, end]);
    position = end ?? CODE.lastIndex;
  }
}

/** Where a run of backticks begins → where the next equal one of its paragraph ends. @param {string} text */
function endsWithinParagraphs(text) {
  /** @type {Map<number, number>} */
  const ends = new Map();
  /** @type {Map<number, number>} */
  const later = new Map(); // length → end of the next run that is so long
  for (const { 0: run, index } of [...text.matchAll(RUN_OR_BLANK_LINE)].reverse()) {
    if (run[0] === "\n") {
      later.clear();
      continue;
    }
    const end = later.get(run.length);
    if (end) ends.set(index, end);
    later.set(run.length, index + run.length);
  }
  return ends;
}
