// The dialect of Markdown, without marked itself: tests/test_rendering.py tries it in the page.

import assert from "node:assert/strict";
import test from "node:test";
import { formula } from "../../src/streamspace/ui/static/dialect.js";

test("a formula is known by its marks, which say whether it stands alone", () => {
  const shown = [
    ["\\(x_1\\)", { tex: "x_1", isDisplayed: false }],
    ["$E = mc^2$", { tex: "E = mc^2", isDisplayed: false }],
    ["\\[\na\n- b\n\\]", { tex: "\na\n- b\n", isDisplayed: true }],
    ["$$x < y$$", { tex: "x < y", isDisplayed: true }],
    ["\\begin{align}a&=b\\end{align}", { tex: "\\begin{align}a&=b\\end{align}", isDisplayed: true }],
  ];
  for (const [written, parts] of shown) assert.deepEqual(formula(written), parts);
  for (const text of ["$5 and then $", "$ x $", "\\(a\n\nb\\)", "\\begin{a}x\\end{b}", "x"])
    assert.equal(formula(text), null);
});
