// Files of text as parts of a message.

import assert from "node:assert/strict";
import test from "node:test";
import {
  decode,
  filesIn,
  freeName,
  plainName,
  putBack,
  splitFiles,
  withFiles,
} from "../../src/streamspace/ui/static/text_files.js";

const bytes = (...values) => new Uint8Array(values);
const utf8 = (text) => new TextEncoder().encode(text);

test("text is UTF-8, or UTF-16 that says so; anything else is none", () => {
  assert.equal(decode(utf8("a,b\r\n1,2\r\n")), "a,b\n1,2\n");
  assert.equal(decode(utf8("\ufeff你好")), "你好");
  assert.equal(decode(bytes(0xff, 0xfe, 0x60, 0x4f)), "你");
  assert.equal(decode(bytes(0xfe, 0xff, 0x4f, 0x60)), "你");
  assert.equal(decode(bytes()), "");
  for (const none of [bytes(0x89, 0x50, 0x4e, 0x47), bytes(0x61, 0), bytes(0xff, 0xfe, 0, 0xd8)])
    assert.equal(decode(none), null);
});

test("a file is part of the message under its name, and comes out of it as it was", () => {
  const files = [
    { name: "main.py", text: "print(1)\n" },
    { name: "notes.md", text: "```\ncode\n```\n`````" },
    { name: "fence.txt", text: "```" },
    { name: "empty.csv", text: "" },
    { name: "lines", text: "\n\n" },
  ];
  for (const typed of ["What is this?", "", "a\n\n", "`main.py`: is it right?"]) {
    const message = withFiles(typed, files);
    assert.deepEqual(splitFiles(message), { typed, files });
    assert.ok(message.startsWith(typed));
  }
  const one = withFiles("What?", [files[0]]);
  assert.equal(one, "What?\n\n`main.py`:\n```python\nprint(1)\n\n```");
  assert.equal(filesIn(one)[0].code, "```python\nprint(1)\n\n```");
  assert.deepEqual(splitFiles(withFiles("", [files[0]])), { typed: "", files: [files[0]] });
});

test("no file can end its fence", () => {
  for (let length = 1; length < 12; length += 1) {
    const text = `${"`".repeat(length)}\n\n\`evil.txt\`:\n${"`".repeat(length)}`;
    const files = [{ name: "a.txt", text }];
    assert.deepEqual(splitFiles(withFiles("x", files)), { typed: "x", files });
  }
});

test("a text that was not made so is all typed", () => {
  const typed = [
    "plain",
    "",
    "`a.txt`:\n```text\na\n```\nand more",
    "`a.txt`:\n```python\na\n```",
    "`a.txt`:\n```text\na",
    "x`a.txt`:\n```text\na\n```",
    "x\n`a.txt`:\n```text\na\n```",
  ];
  for (const text of typed) assert.deepEqual(splitFiles(text), { typed: text, files: [] });
});

test("a name stands in one line, and ends no code", () => {
  assert.equal(plainName("a`b\n`.txt"), "a b .txt");
  assert.equal(plainName(" ` "), "file.txt");
  const long = plainName(`${"x".repeat(200)}.py`);
  assert.ok(long.length === 81 && long.endsWith("x.py"));
  assert.equal(freeName("a.txt", ["a.txt", "a-2.txt"]), "a-3.txt");
  assert.equal(freeName("a", ["a"]), "a-2");
  assert.equal(freeName("a", []), "a");
});

test("a question that is put back gives its files back, before what was typed meanwhile", () => {
  const files = [{ name: "a.txt", text: "a" }];
  assert.deepEqual(putBack(`${withFiles("one", files)}\ntwo`), { typed: "one\ntwo", files });
  assert.deepEqual(putBack(`${withFiles("", files)}\ntwo`), { typed: "two", files });
  assert.deepEqual(putBack(withFiles("one", files)), { typed: "one", files });
  assert.deepEqual(putBack("one\ntwo"), { typed: "one\ntwo", files: [] });
});
