// Exported Markdown: a text, with HTML as words for whatever shows the file, and back again. Pure.

// Fenced code to its end, or a run of backticks, which may begin code within a line.
const CODE = /(?<![^\n])[ ]{0,3}(`{3,}|~{3,})[\s\S]*?(?:(?<![^\n])[ ]{0,3}\1[`~]*[ \t]*(?![^\n])|(?![\s\S]))|`+/g;
const RUN_OR_BLANK_LINE = /`+|\n[ \t]*(?=\n)/g;
const TAG = /<(?=[A-Za-z/!?])/g;
const ENTITY = /&(?=#?[\p{L}\p{N}_]+;)/gu;
const LESS = /&lt;(?=[A-Za-z/!?])/g;
const AMPERSAND = /&amp;(?=#?[\p{L}\p{N}_]+;)/gu;

/** The text as Markdown that shows HTML as it was written. @param {string} text */
export const toMarkdown = (text) =>
  outsideCode(text, /[<&]/, (part) => part.replace(ENTITY, "&amp;").replace(TAG, "&lt;"));

/** The text that `toMarkdown` was given. @param {string} markdown */
export const fromMarkdown = (markdown) =>
  outsideCode(markdown, /&/, (part) => part.replace(LESS, "<").replace(AMPERSAND, "&"));

/** Change a text if `need` matches it.
 * @param {string} text @param {RegExp} need @param {(part: string) => string} change */
function outsideCode(text, need, change) {
  if (!need.test(text)) return text;
  let changed = "";
  let start = 0;
  for (const [codeStart, codeEnd] of code(text)) {
    changed += change(text.slice(start, codeStart)) + text.slice(codeStart, codeEnd);
    start = codeEnd;
  }
  return changed + change(text.slice(start));
}

/** Where code begins and ends: between fences, or equal runs of backticks in one paragraph. @param {string} text */
function code(text) {
  const ends = endsWithinParagraphs(text);
  /** @type {[number, number][]} */
  const found = [];
  CODE.lastIndex = 0;
  for (let match = CODE.exec(text); match; match = CODE.exec(text)) {
    const end = match[1] ? CODE.lastIndex : ends.get(match.index);
    if (!end) continue;
    found.push([match.index, end]);
    CODE.lastIndex = end;
  }
  return found;
}

/** Where a run of backticks begins → where the next equal one of its paragraph ends. @param {string} text */
function endsWithinParagraphs(text) {
  /** @type {Map<number, number>} */
  const ends = new Map();
  /** @type {Map<number, number>} */
  const later = new Map(); // length → end of the next run of that length
  for (const { 0: run, index } of [...text.matchAll(RUN_OR_BLANK_LINE)].reverse()) {
    const end = later.get(run.length);
    if (run[0] === "\n") later.clear();
    else {
      if (end) ends.set(index, end);
      later.set(run.length, index + run.length);
    }
  }
  return ends;
}
