// The page's dialect of Markdown: GitHub's, with formulas, with HTML as words, and with the emphasis and links that
// Chinese, Japanese and Korean need. It extends marked 12, which Gradio draws with. Pure.

import { filesIn } from "./text_files.js";

/** Marked's own types are not at hand here. @typedef {any} Token */

const CJK =
  "\\p{Script=Han}\\p{Script=Hiragana}\\p{Script=Katakana}\\p{Script=Hangul}\\p{Script=Bopomofo}\\u3000-\\u303f\\uff00-\\uffef";
const IS_CJK = new RegExp(`[${CJK}]`, "u");
const LINK_END = new RegExp(`[${CJK}“”‘’…—]`, "u");
const MARK_BEFORE_STARS = /(?!\*)[\p{P}\p{S}](?=\*+([^*]|$))/gu;
const MARK_AFTER_STARS = /(?!\*)[\p{P}\p{S}](?<=([^*]|^)\*+.)/gu;

const NO_BLANK_LINE = "(?:(?!\\n[ \\t]*\\n)[\\s\\S])+?";
const ROUND = `\\\\\\((${NO_BLANK_LINE})\\\\\\)`;
const SQUARE = `\\\\\\[(${NO_BLANK_LINE})\\\\\\]`;
const DOLLARS = `\\$\\$(${NO_BLANK_LINE})\\$\\$`;
// No price: nothing blank inside of the dollars, and no letter or digit outside.
const DOLLAR = "\\$(?![\\s$])((?:\\\\.|[^\\\\$\\n`])*?(?:\\\\.|[^\\\\$\\s`]))\\$(?![\\w$])";
const ENVIRONMENT = `(\\\\begin\\{(\\w+\\*?)\\}${NO_BLANK_LINE}\\\\end\\{\\5\\})`;
const FORMULA = new RegExp(`^(?:${ROUND}|${SQUARE}|${DOLLARS}|${ENVIRONMENT}|${DOLLAR})$`);
const FORMULA_IN_LINE = new RegExp(`^(?:${ROUND}|${SQUARE}|${DOLLARS}|${DOLLAR})`);
const FORMULAS = new RegExp(`${ROUND}|${SQUARE}|${DOLLARS}|(?<![\\w$])${DOLLAR}`, "g");
/** @param {string} end a pattern @returns {string} one for what stands before it */
const before = (end) => `(?:(?!${end}|\\n[ \\t]*\\n)[\\s\\S])+`;
const BLOCK_FORMS = [
  `\\\\\\[${before("\\\\\\]")}\\\\\\]`,
  `\\$\\$${before("\\$\\$")}\\$\\$`,
  `\\\\begin\\{(\\w+\\*?)\\}${NO_BLANK_LINE}\\\\end\\{\\1\\}`,
];
const FORMULA_BLOCK = new RegExp(`^ {0,3}(?:${BLOCK_FORMS.join("|")})[ \\t]*(?:\\n|$)`);
const FORMULA_LINE = /\n {0,3}(?:\\\[|\$\$|\\begin\{)/;

/** A text as HTML that shows it. Gradio would take %%%LATEX… for a place of its own. @param {string} text */
const asWords = (text) =>
  text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;")
    .replaceAll("%LATEX", "&#37;LATEX");

/** What a formula says to KaTeX, and whether it stands on a line of its own; null for any other text.
 * @param {string} text a formula as it was written */
export function formula(text) {
  const found = FORMULA.exec(text);
  if (!found) return null;
  const [, round, square, dollars, environment, , dollar] = found;
  return { tex: square ?? dollars ?? environment ?? round ?? dollar, isDisplayed: !(round ?? dollar) };
}

// ---- Emphasis

/** The text with nothing of a formula in it that could be emphasis. Lengths stay.
 * @param {string} src the rest of a paragraph @param {string} masked the paragraph, as marked looks for stars in it */
function withoutFormulas(src, masked) {
  const rest = masked.length - src.length;
  let hidden = masked;
  for (const { 0: found, index } of src.matchAll(FORMULAS)) {
    const start = rest + index;
    hidden = hidden.slice(0, start) + "a".repeat(found.length) + hidden.slice(start + found.length);
  }
  return hidden;
}

/** The text with a letter for each punctuation mark that must not keep stars from being emphasis: one beside CJK.
 * CommonMark asks for blanks there, which CJK does not write. @param {string} masked */
function withoutMarks(masked) {
  const units = masked.split("");
  for (const pattern of [MARK_BEFORE_STARS, MARK_AFTER_STARS])
    for (const { 0: mark, 1: beyond, index } of masked.matchAll(pattern))
      if (IS_CJK.test(mark) || IS_CJK.test(beyond)) units.fill("a", index, index + mark.length);
  return units.join("");
}

/** A paragraph → what of it may be emphasis, and the same at home with CJK: each of its stars asks for both.
 * @type {Map<string, { hidden: string, soft: string }>} */
const paragraphs = new Map();
const MOST_PARAGRAPHS = 20; // one in another, as emphasis is

/** @param {string} src the rest of a paragraph, all of it at first @param {string} masked */
function paragraph(src, masked) {
  const known = paragraphs.get(masked);
  if (known) return known;
  const hidden = /[\\$]/.test(src) ? withoutFormulas(src, masked) : masked;
  const made = { hidden, soft: IS_CJK.test(hidden) ? withoutMarks(hidden) : hidden };
  if (paragraphs.size >= MOST_PARAGRAPHS) paragraphs.clear();
  paragraphs.set(masked, made);
  return made;
}

/** @this {any} marked's tokenizer @param {string} src @param {string} masked @param {string} before */
function emStrong(src, masked, before) {
  if (!/^[*_]/.test(src)) return;
  const own = Object.getPrototypeOf(this).emStrong;
  const { hidden, soft } = paragraph(src, masked);
  if (src[0] === "_" || soft === hidden) return own.call(this, src, hidden, before);
  const length = /** @type {RegExpExecArray} */ (/^\*+/.exec(src))[0].length;
  const next = soft.length - src.length + length;
  const softer = src.slice(0, length) + soft.slice(next, next + 1) + src.slice(length + 1);
  const scout = Object.create(this, { lexer: { value: { inlineTokens: () => [] } } }); // only says where it ends
  const found = own.call(scout, softer, soft, before);
  if (!found) return;
  const raw = src.slice(0, found.raw.length);
  const stars = (raw.length - found.text.length) / 2;
  const text = raw.slice(stars, -stars);
  return { ...found, raw, text, tokens: this.lexer.inlineTokens(text) };
}

// ---- Links

// Marked looks one bracket deep. A label with a link in it is read twice, so that each level doubles the work.
const MOST_DEPTH = 4;
const MOST_LABEL = 500; // characters between a link's brackets
const MOST_TARGET = 4000; // and behind them
const IN_LABEL = /\\[\s\S]|(`+)(?!`)[\s\S]*?[^`]\1(?!`)|<https?:[^\s<>]*>|[[\]]/g;

/** What stands before the bracket that closes a label; null if none does, undefined if it is too deep.
 * @param {string} text what follows the label's opening bracket */
function labelOf(text) {
  let depth = 1;
  for (const { 0: found, index } of text.matchAll(IN_LABEL)) {
    if (found === "[" && ++depth > MOST_DEPTH) return undefined;
    if (found === "]" && --depth === 0) return text.slice(0, index);
  }
  return null;
}

/** @param {Token[]} tokens @returns {boolean} */
const haveLink = (tokens) => tokens.some(({ type, tokens }) => type === "link" || haveLink(tokens ?? []));

/** Finds links and pictures as marked does, whatever brackets their labels have. No link has another in it: where one
 * is, the outer one is text, as CommonMark says.
 * @param {"link" | "reflink"} name of marked's tokenizer @param {"](" | "]["} middle what follows the label */
function linkBy(name, middle) {
  /** @this {any} marked's tokenizer @param {string} src @param {Record<string, unknown>} [links] */
  return function (src, links) {
    const start = /^!?\[/.exec(src)?.[0].length ?? 0;
    const near = src.slice(start, start + MOST_LABEL);
    if (!start || !near.includes(middle)) return false; // false leaves it to marked
    const label = labelOf(near);
    if (label === null && src.length <= MOST_LABEL) return; // none
    if (!label || !/[[<`\\]/.test(label) || !src.startsWith(middle, start + label.length)) return false;
    const scout = Object.create(this, { lexer: { value: { state: {}, inlineTokens: () => [] } } });
    const rest = src.slice(start + label.length, start + label.length + MOST_TARGET);
    const masked = src.slice(0, start) + "a".repeat(label.length) + rest;
    const found = Object.getPrototypeOf(this)[name].call(scout, masked, links);
    if (!found || found.type === "text") return found;
    const raw = src.slice(0, found.raw.length);
    if (found.type === "image") return { ...found, raw, text: asWords(label) };
    const { lexer } = this;
    lexer.state.inLink = true;
    const tokens = lexer.inlineTokens(label);
    lexer.state.inLink = false;
    return haveLink(tokens) ? { type: "text", raw: "[", text: "[" } : { ...found, raw, text: label, tokens };
  };
}

// ---- The rest of the dialect

/** @this {any} marked's tokenizer @param {string} src */
function url(src) {
  const own = Object.getPrototypeOf(this).url;
  const link = own.call(this, src);
  const end = link ? link.raw.search(LINK_END) : -1;
  return end < 0 ? link : own.call(this, src.slice(0, end));
}

/** @this {any} marked's tokenizer @param {string} src */
function inlineText(src) {
  const found = Object.getPrototypeOf(this).inlineText.call(this, src);
  return found && { ...found, text: asWords(found.raw) }; // entities are words, too
}

/** @this {any} marked's tokenizer @param {string} src */
function def(src) {
  return /^ {0,3}\[\^/.test(src) ? undefined : false; // a footnote is text; false leaves it to marked
}

const formulaInLine = {
  name: "formula",
  level: "inline",
  /** @param {string} src */
  start: (src) => src.search(/\$|\\[([]/),
  /** @param {string} src @param {Token[]} tokens */
  tokenizer(src, tokens) {
    const raw = FORMULA_IN_LINE.exec(src)?.[0];
    if (!raw || (/^\$[^$]/.test(raw) && /[\w$]$/.test(tokens?.at(-1)?.raw ?? ""))) return;
    return { type: "formula", raw, text: raw };
  },
  /** @param {Token} token */
  renderer: ({ text }) => `<span class="formula">${asWords(text)}</span>`,
};

const formulaBlock = {
  name: "formulaBlock",
  level: "block",
  /** @param {string} src */
  start(src) {
    const end = src.search(/\n[ \t]*\n/);
    const index = (end < 0 ? src : src.slice(0, end)).search(FORMULA_LINE);
    return index < 0 ? index : index + 1;
  },
  /** @param {string} src */
  tokenizer(src) {
    const raw = FORMULA_BLOCK.exec(src)?.[0];
    return raw && { type: "formulaBlock", raw, text: raw.trim() };
  },
  /** @param {Token} token */
  renderer: ({ text }) => `<div class="formula">${asWords(text)}</div>\n`,
};

const typed = {
  name: "typed",
  /** @param {Token} token */
  renderer: ({ text }) => `<div class="typed">${asWords(text)}</div>`,
};

const file = {
  name: "file",
  /** @this {any} marked's renderer @param {Token} token */
  renderer(token) {
    const { text, tokens } = token;
    return `<details class="file"><summary>${asWords(text)}</summary>${this.parser.parse(tokens)}</details>`;
  },
};

/** For `marked.use`. */
export const dialect = {
  extensions: [formulaInLine, formulaBlock, typed, file],
  tokenizer: {
    html: () => undefined,
    tag: () => undefined,
    /** @param {string} src */
    del: (src) => (src.startsWith("~~") ? false : undefined),
    def,
    emStrong,
    inlineText,
    link: linkBy("link", "]("),
    reflink: linkBy("reflink", "]["),
    url,
  },
};

const FENCED = /^ {0,3}(`{3,}(?=[^`\n]*$)|~{3,})[^\n]*\n(?:[\s\S]*?\n)?? {0,3}\1[`~]*[ \t]*$\n?/gm;

/** What a visitor typed, as it was typed; only fenced code is drawn, and attached files are folded.
 * @param {any} marked @param {string} text */
export function typedTokens(marked, text) {
  /** @type {Token[]} */
  const tokens = [];
  let start = 0;
  for (const { start: begin, end, name, code } of filesIn(text)) {
    tokens.push(...wordsAndCode(marked, text.slice(start, begin)));
    const raw = text.slice(begin, end);
    tokens.push({ type: "file", raw, text: name, tokens: marked.lexer(code) });
    start = end;
  }
  return [...tokens, ...wordsAndCode(marked, text.slice(start))];
}

/** @param {any} marked @param {string} text */
function wordsAndCode(marked, text) {
  /** @type {Token[]} */
  const tokens = [];
  let start = 0;
  /** @param {number} end */
  const words = (end) => {
    const raw = text.slice(start, end);
    if (raw.trim()) tokens.push({ type: "typed", raw, text: raw.replace(/^\n+|\n+$/g, "") });
  };
  for (const { 0: code, index } of text.matchAll(FENCED)) {
    words(index);
    tokens.push(...marked.lexer(code));
    start = index + code.length;
  }
  words(text.length);
  return tokens;
}

// ---- While a text grows: what may yet become something else is not drawn

const MOST_HELD = 200; // characters of a line that wait for the end of what they may have begun
const MOST_FORMULA = 4000;
const IN = "[ \\t>]*(?:(?:[-*+]|\\d{1,9}[.)]|\\[[ xX]\\])[ \\t]+(?![ \\t]))*";
const FENCE = new RegExp(`^${IN}(\`{3,}(?=[^\`\\n]*$)|~{3,})(.*)$`, "gm");
const UNSETTLED = new RegExp(
  `^${IN}(?:#{1,6}|\\d{1,9}[.)]?|[-*_=+][-*_=+ \\t]*|\`{1,2}|\`{3,}[^\`]*|~{1,2}|~{3,}.*|\\[[ xX]?\\]?|\\|.*|[-:|][-:| \\t]*)?$`,
);
const FORMULA_OPEN = new RegExp(`^${IN}(\\\\\\[|\\$\\$|\\\\begin\\{(\\w*\\*?)\\}?)`, "gm");
const TABLE_RULE = /^[ \t>]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$/;
const PRICE = "\\d[\\d,.]*[a-zA-Z%]?(?:[^\\w$^{\\\\]|$)";
// What may begin something that ends further on, each where marked would let it begin.
const OPEN = new RegExp(
  [
    "\\\\(?:[a-z]+\\{?\\w*\\*?)?$",
    "`+",
    "\\*+(?=[^\\s*]|$)",
    "(?<![\\p{L}\\p{N}_])_+(?=[^\\s_]|$)",
    "~~(?=\\S|$)|~$",
    "!?\\[(?:[^\\]]*$|[^\\]]*\\](?:$|\\([^)]*$|\\[[^\\]]*$))",
    "<(?:[a-zA-Z][a-zA-Z0-9+.\\-]*(?::[^\\s<>]*)?)?$",
    `(?<![\\w$])\\$(?!\\s)(?!${PRICE})`,
  ].join("|"),
  "gu",
);

/** The beginning of a growing text whose lines are what they are. @param {string} text */
function settledLines(text) {
  const start = text.lastIndexOf("\n") + 1;
  const line = text.slice(start);
  if (isInFence(text.slice(0, start))) return /^[ \t>]*[`~]+[ \t]*$/.test(line) ? text.slice(0, start) : text;
  const before = text.slice(0, Math.max(0, start - 1));
  const head = before.slice(before.lastIndexOf("\n") + 1); // the line before may be a table's first
  if (/^[ \t>]*[|:\- \t]*$/.test(line) && /^[ \t>]*\|/.test(head) && !isTable(before)) {
    return before.slice(0, before.length - head.length);
  }
  return withoutOpenFormula(UNSETTLED.test(line.trimEnd()) ? text.slice(0, start) : text);
}

/** Whether the lines end within fenced code. @param {string} lines */
function isInFence(lines) {
  let open = "";
  for (const [, fence, rest] of lines.matchAll(FENCE)) {
    if (!open) open = fence;
    else if (fence.startsWith(open) && !rest.trim()) open = "";
  }
  return open !== "";
}

/** Whether the lines end with a table that has its rule already. @param {string} lines */
function isTable(lines) {
  const block = lines.slice(lines.lastIndexOf("\n\n") + 1).split("\n");
  return block.some((line) => line.includes("-") && TABLE_RULE.test(line));
}

/** @param {string} text */
function withoutOpenFormula(text) {
  const block = Math.max(0, text.lastIndexOf("\n\n"));
  const last = text.slice(block);
  let closed = 0;
  for (const { 0: found, 1: open, 2: name, index } of last.matchAll(FORMULA_OPEN)) {
    if (index < closed) continue;
    const close = open === "\\[" ? "\\]" : open === "$$" ? "$$" : `\\end{${name}}`;
    const end = last.indexOf(close, index + found.length);
    if (end < 0) return last.length - index > MOST_FORMULA ? text : text.slice(0, block + index);
    closed = end + close.length;
  }
  return text;
}

/** The tokens of the last line that may go on. @param {Token[]} tokens @param {boolean} hasEnded the line is complete
 * @returns {Token[] | undefined} */
function lastLine(tokens, hasEnded) {
  const last = tokens.at(-1);
  if (last?.type === "list") return lastLine(last.items.at(-1).tokens, hasEnded);
  if (last?.type === "blockquote") return lastLine(last.tokens, hasEnded);
  if (last?.type === "heading" && hasEnded) return;
  return ["paragraph", "text", "heading"].includes(last?.type) ? last.tokens : undefined;
}

/** Where in a token something begins that further text may change. @param {Token} token @param {boolean} isLast */
function openPlaces({ type, raw }, isLast) {
  if (type === "text") return [...raw.matchAll(OPEN)].map(({ index }) => index);
  const mayChange = ["codespan", "em", "strong", "del"].includes(type) || (type === "formula" && /^\$[^$]/.test(raw));
  return (isLast && mayChange) || (type === "escape" && /^\\[([]/.test(raw)) ? [0] : [];
}

/** Remove from a line all that follows something open; says whether there was any.
 * @param {Token[]} tokens @param {boolean} hasEnded the line is complete */
function holdBack(tokens, hasEnded) {
  let left = tokens.reduce((sum, { raw }) => sum + raw.length, 0);
  for (const [number, token] of tokens.entries()) {
    const places = openPlaces(token, !hasEnded && number === tokens.length - 1);
    const place = places.find((index) => left - index <= MOST_HELD);
    if (place !== undefined) {
      const raw = token.raw.slice(0, place).trimEnd();
      tokens.splice(number, tokens.length, ...(raw ? [{ ...token, raw, text: asWords(raw) }] : []));
      if (tokens.at(-1)?.type === "br") tokens.pop();
      return true;
    }
    left -= token.raw.length;
  }
  return false;
}

/** The tokens of a text that grows. @param {any} marked @param {string} text */
export function growingTokens(marked, text) {
  const settled = settledLines(text);
  const tokens = marked.lexer(settled);
  if (/\n[ \t]*\n[ \t]*$/.test(settled)) return tokens;
  const hasEnded = settled.endsWith("\n");
  const line = lastLine(tokens, hasEnded);
  if (line && holdBack(line, hasEnded)) {
    const last = tokens.at(-1);
    last.raw += "\0"; // it is another block than the whole one, which comes at the end
    if (!line.length && last.tokens === line) tokens.pop();
  }
  return tokens;
}
