// Texts as the page draws them: by marked, of the version that Gradio has, with the page's dialect.
//
// Reads a list of texts as JSON and writes one as JSON. `draw.mjs whole`: the HTML of each; `breaks` is off, as
// CommonMark has it. `draw.mjs growing`: those texts of which a beginning draws more of an element than a longer one
// does, or of which the end is not drawn as the whole is.

import { readFileSync } from "node:fs";
import { Marked } from "marked";
import { dialect, growingTokens } from "../../src/streamspace/ui/static/dialect.js";

const marked = new Marked(dialect);

/** @param {string} text */
const growing = (text) => marked.parser(growingTokens(marked, text));

/** How many elements of each kind. @param {string} html */
function counts(html) {
  /** @type {Record<string, number>} */
  const found = {};
  for (const [, name] of html.matchAll(/<([a-z0-9]+)/g)) found[name] = (found[name] ?? 0) + 1;
  return found;
}

/** @param {string} text */
function isTakenBack(text) {
  /** @type {Record<string, number>} */
  let before = {};
  for (let end = 1; end <= text.length; end++) {
    const now = counts(growing(text.slice(0, end)));
    if (Object.entries(before).some(([name, number]) => (now[name] ?? 0) < number)) return true;
    before = now;
  }
  return growing(`${text}\n\n`) !== marked.parse(`${text}\n\n`);
}

/** @type {string[]} */
const texts = JSON.parse(readFileSync(0, "utf-8"));
const isWhole = process.argv[2] === "whole";
console.log(JSON.stringify(isWhole ? texts.map((text) => marked.parse(text)) : texts.filter(isTakenBack)));
