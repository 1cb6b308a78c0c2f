// The text of a PDF's pages, from the pieces that pdf.js finds.

import assert from "node:assert/strict";
import test from "node:test";
import { textOf } from "../../src/streamspace/ui/static/pdf.js";

test("lines end where the page has them end, and an empty line stands between pages", () => {
  const first = [
    { str: "Title", hasEOL: true },
    { str: "one " },
    { type: "beginMarkedContent" },
    { str: "two", hasEOL: true },
  ];
  assert.equal(textOf([first, [], [{ str: "  " }], [{ str: "Page 4" }]]), "Title\none two\n\nPage 4");
  assert.equal(textOf([[{ str: "" }], []]), "");
});
