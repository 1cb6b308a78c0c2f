// Sentences with numbers, in the page's language.

import assert from "node:assert/strict";
import test from "node:test";

const TOKENS = "{number} {number:|token|tokens}";
/** @type {any} */ (globalThis).streamspace = {
  catalogs: {
    ar: { [TOKENS]: "{number} {number:|0|1|2|few|many|other}" },
    ja: { [TOKENS]: "{number} トークン" },
    fr: {},
  },
};
const { say } = await import("../../src/streamspace/ui/static/language.js");

/** @param {string} language @param {number[]} numbers */
const said = (language, ...numbers) => {
  Object.defineProperty(globalThis, "navigator", { value: { language }, configurable: true });
  return numbers.map((number) => say(TOKENS, { number }));
};

test("a word has the form that goes with its number", () => {
  assert.deepEqual(said("en", 0, 1, 2, 1234), ["0 tokens", "1 token", "2 tokens", "1,234 tokens"]);
  assert.deepEqual(said("ar", 0, 1, 2, 3, 11, 100), ["0 0", "1 1", "2 2", "3 few", "11 many", "100 other"]);
  assert.deepEqual(said("ja", 1, 2), ["1 トークン", "2 トークン"]);
});

test("a sentence without a translation keeps the forms of English", () => {
  assert.deepEqual(said("fr", 0, 1), ["0 tokens", "1 token"]);
});
