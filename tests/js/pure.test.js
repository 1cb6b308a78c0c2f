// What the scripts compute without the page's document.

import assert from "node:assert/strict";
import test from "node:test";
import { plotPaths } from "../../src/streamspace/ui/static/engine.js";
import { say } from "../../src/streamspace/ui/static/language.js";
import { fromMarkdown, toMarkdown } from "../../src/streamspace/ui/static/markdown.js";
import { indexAfter } from "../../src/streamspace/ui/static/tokens.js";

Object.defineProperty(globalThis, "navigator", { value: { language: "en" } });

test("a sentence's values are not read as templates", () => {
  assert.equal(say("Deleted “{title}”.", { title: "$& {title}" }), "Deleted “$& {title}”.");
  assert.equal(say("{number} {unknown}", { number: 3 }), "3 {unknown}");
});

test("a plot has a step for each second, and begins anew after a value that is not known", () => {
  const points = [[0], [null], null, [10], [5]];
  assert.deepEqual(plotPaths(points, 0, { top: 10, width: 6, height: 40 }), {
    line: "M1 39.0h1M4 1.0h1L5 20.0h1",
    gaps: "M3 0h1v40h-1z",
  });
  assert.deepEqual(plotPaths([], 0, { top: 1, width: 6, height: 40 }), { line: "", gaps: "" });
});

test("arrow keys, Home and End move between tokens", () => {
  const keys = ["ArrowLeft", "ArrowUp", "ArrowRight", "ArrowDown", "Home", "End", "a"];
  assert.deepEqual(
    keys.map((key) => indexAfter(key, 4, 9)),
    [3, 3, 5, 5, 0, 9, undefined],
  );
});

test("HTML is shown as it was written, outside of code", () => {
  assert.equal(toMarkdown("<b> `<i>` &lt;\n```\n<b>\n```\n<!--"), "&lt;b> `<i>` &amp;lt;\n```\n<b>\n```\n&lt;!--");
  assert.equal(fromMarkdown("&lt;b> `&lt;i>`"), "<b> `&lt;i>`");
});
