// Conversations as records and as files.

import assert from "node:assert/strict";
import test from "node:test";
import {
  isRecord,
  matches,
  message,
  NewerFile,
  pageValues,
  parseFile,
  pictureIds,
  sinceSummary,
  thoughtDone,
  titleOf,
  toJsonFile,
  toMarkdownFile,
  upgraded,
} from "../../src/streamspace/ui/static/conversation_records.js";
import { urlOf } from "../../src/streamspace/ui/static/pictures.js";
import { withFiles } from "../../src/streamspace/ui/static/text_files.js";

Object.defineProperty(globalThis, "navigator", { value: { language: "en" } });

const question = message("user", "What is <b> `<i>`?");
const thought = message("assistant", "Hm.", { title: "Thinking", status: "pending", duration: 1.5 });
const answer = message("assistant", "Bold --> &lt;\n\n```\n<b>\n```");
const record = {
  version: 3,
  id: "id",
  revision: "revision",
  title: null,
  updated: Date.UTC(2026, 0, 2),
  system: "Be brief.",
  note: { text: "Ended <here> & now.", cut: true },
  messages: [question, thoughtDone(thought), answer],
  live: [],
  forks: [],
};

const textOf = ({ content }) => content[0].text;
const branch = {
  messages: [message("user", "Elsewhere?"), message("assistant", "<i>no</i>")],
  note: record.note,
  forks: [],
};
const versioned = { ...record, forks: [{ at: 0, current: 1, branches: [branch, null] }] };

/** What of a record stays the same in a file. */
const kept = ({ title, updated, system, messages, live, forks }) => ({ title, updated, system, messages, live, forks });

test("a title is the visitor's own, or the first question, cut at a word", () => {
  assert.equal(titleOf({ ...record, title: "Mine" }), "Mine");
  assert.equal(titleOf(record), "What is <b> `<i>`?");
  assert.equal(titleOf({ ...record, messages: [] }), "Conversation");
  const titled = (text) => titleOf({ ...record, messages: [message("user", text)] });
  assert.equal(titled(`  ${"word ".repeat(20)}`), `${"word ".repeat(12).trim()}…`);
  assert.equal(titled("👩".repeat(70)), `${"👩".repeat(60)}…`);
});

test("a search looks at title, system prompt and texts as they were written", () => {
  assert.ok(["what is <b>", "be brief", "hm.", "&lt;"].every((words) => matches(record, words)));
  assert.ok(!matches(record, "elsewhere"));
  assert.ok(matches(versioned, "elsewhere"));
});

test("a record is one of this version with everything in it", () => {
  assert.ok(isRecord(record) && isRecord(versioned));
  const damaged = [
    null,
    {},
    { ...record, version: 4 },
    { ...record, note: null },
    { ...record, title: 1 },
    { ...record, updated: "today" },
    { ...record, live: undefined },
    { ...record, messages: [{ ...question, role: "system" }] },
    { ...record, messages: [{ ...question, content: [{ type: "text", text: 1 }] }] },
    { ...record, messages: [{ ...question, metadata: { title: 1 } }] },
    { ...record, forks: undefined },
    { ...record, forks: [{ at: 3, current: 0, branches: [null, branch] }] },
    { ...record, forks: [{ at: 0, current: 2, branches: [null, branch] }] },
    { ...record, forks: [{ at: 0, current: 0, branches: [null, null] }] },
    { ...record, forks: [{ at: 0, current: 0, branches: [null, { ...branch, messages: [{ role: "root" }] }] }] },
    { ...record, forks: [{ at: 0, current: 0, branches: [null, { ...branch, forks: [{ at: 9 }] }] }] },
  ];
  assert.deepEqual(damaged.filter(isRecord), []);
});

test("a record of the first version, whose texts were Markdown, is of this one", () => {
  const markdown = (text) => message("user", text);
  const first = { ...record, version: 1, messages: [markdown("What is &lt;b> `<i>`?")], live: [markdown("&amp;lt;")] };
  assert.deepEqual(upgraded(first), { ...record, messages: [question], live: [markdown("&lt;")] });
  const second = { ...record, version: 2 };
  delete second.forks;
  assert.deepEqual(upgraded(second), record);
  for (const other of [record, null, { ...record, version: 4 }, { version: 1 }]) assert.equal(upgraded(other), other);
});

test("a conversation that ended is shown as it was, its note as text", () => {
  const note = '<span class="cut">Ended &lt;here> &amp; now.</span>';
  assert.deepEqual(pageValues(record, "typed"), ["id", record.messages, [], note, "Be brief.", undefined, undefined]);
  assert.equal(pageValues({ ...record, note: { text: "", cut: false } }, "")[3], "");
});

test("an interrupted answer is kept as far as it came, and offers Continue", () => {
  const [, messages, live, note, , box] = pageValues({ ...record, messages: [], live: [question, thought] }, "");
  assert.deepEqual([messages, live, box], [[question, thoughtDone(thought)], [], undefined]);
  assert.match(note, /^<span class="cut">Interrupted by a reload; Continue/);
});

test("a question without an answer goes back into the box, unless another one stands there", () => {
  const interrupted = { ...record, messages: [], live: [question] };
  for (const box of ["", null, "What is <b> `<i>`?"]) {
    const [, messages, , note, , back] = pageValues(interrupted, box);
    assert.deepEqual([messages, back], [[], "What is <b> `<i>`?"]);
    assert.match(note, /the question is back in the box/);
  }
  const [, messages, , note, , back] = pageValues(interrupted, "another");
  assert.deepEqual([messages, back], [[question], undefined]);
  assert.match(note, /copy the question/);
});

test("what is exported can be imported", () => {
  for (const title of [null, "My <title> -->"]) {
    const titled = { ...versioned, title };
    const carriageReturns = toMarkdownFile(titled, {}).replaceAll("\n", "\r\n");
    for (const file of [toJsonFile([titled], {}), toMarkdownFile(titled, {}), carriageReturns]) {
      const [imported, ...others] = parseFile(file);
      assert.ok(isRecord(imported));
      assert.deepEqual(kept(imported), kept(titled));
      assert.notEqual(imported.id, record.id);
      assert.deepEqual(others, []);
    }
  }
});

test("an export of all has the turn under way, and what is left of damaged records", () => {
  const file = JSON.parse(toJsonFile([{ ...record, messages: [], live: [question] }], {}, ["damaged"]));
  assert.deepEqual(file.aside, ["damaged"]);
  assert.deepEqual(file.conversations[0].messages, [{ role: "user", content: "What is <b> `<i>`?" }]);
  assert.ok(!("aside" in JSON.parse(toJsonFile([record], {}))));
});

test("a file has nothing else of a conversation than what is checked", () => {
  const file = JSON.parse(toJsonFile([record], {}));
  file.conversations[0].evil = file.conversations[0].messages[0].evil = true;
  file.conversations[0].updated = "never";
  const [imported] = parseFile(JSON.stringify(file));
  assert.ok(Math.abs(imported.updated - Date.now()) < 60_000);
  assert.ok(!JSON.stringify(imported).includes("evil"));
});

test("other files are refused", () => {
  const conversation = JSON.parse(toJsonFile([record], {})).conversations[0];
  const file = (...conversations) => JSON.stringify({ format: "streamspace-conversations", version: 1, conversations });
  const bad = [
    "",
    "# Notes\n",
    "null",
    "[]",
    JSON.stringify({ format: "another", conversations: [conversation] }),
    file(),
    file(null),
    file({ ...conversation, title: 1 }),
    file({ ...conversation, messages: [] }),
    file({ ...conversation, messages: [null] }),
    file({ ...conversation, messages: [{ role: "system", content: "" }] }),
    file(conversation, {}),
    file({ ...conversation, forks: [{ at: 0, current: 0, branches: [null, { messages: [{ role: "root" }] }] }] }),
    toMarkdownFile(record, {}).replace('{"role":"user"', "{"),
  ];
  for (const text of bad) assert.throws(() => parseFile(text), text);
  assert.throws(() => parseFile(JSON.stringify({ version: 2 })), NewerFile);
});

test("pictures are in a file, and come out of it under ids of their own", () => {
  const pixels = { one: "data:image/jpeg;base64,/9j/", two: "data:image/png;base64,iVBORw0K" };
  const asked = message("user", "Which is <b>?", { pictures: ["one", "gone", "two"] });
  const alone = message("user", "", { pictures: ["two"] });
  const seen = { ...record, messages: [asked, answer, alone, answer] };
  assert.deepEqual(pictureIds(seen), ["one", "gone", "two", "two"]);
  for (const file of [toJsonFile([seen], pixels), toMarkdownFile(seen, pixels)]) {
    const [imported] = parseFile(file);
    assert.ok(isRecord(imported));
    assert.deepEqual(imported.messages.map(textOf), seen.messages.map(textOf));
    const ids = pictureIds(imported);
    assert.deepEqual(ids.map(urlOf), [pixels.one, pixels.two, pixels.two]);
    assert.ok(!ids.some((id) => id in pixels));
  }
  const bad = toJsonFile([seen], { one: "https://example.com/pixel.png" });
  assert.throws(() => parseFile(bad));
  assert.ok(!isRecord({ ...record, messages: [message("user", "", { pictures: [1] })] }));
});

test("an interrupted question has its pictures attached again", () => {
  const asked = message("user", "What?", { pictures: ["one", "two"] });
  const values = pageValues({ ...record, messages: [], live: [asked] }, "");
  assert.deepEqual(values.at(-2), "What?");
  assert.match(values.at(-1), /^back \w+ one two$/);
});

test("a title is what was typed, or the names of the files", () => {
  const files = [{ name: "main.py", text: "print(1)" }];
  const titled = (text) => titleOf({ ...record, messages: [message("user", text)] });
  assert.equal(titled(withFiles("Why?", files)), "Why?");
  assert.equal(titled(withFiles("", files)), "main.py");
});

test("a summary's question keeps its mark in files, and what it sums up is not what a model gets", () => {
  const asked = message("user", "Sum up.", { id: "summary" });
  const messages = [question, answer, asked, answer, question];
  assert.deepEqual(sinceSummary(messages), messages.slice(2));
  assert.deepEqual(sinceSummary(messages.slice(0, 3)), messages.slice(0, 3));
  const whole = { ...record, messages };
  for (const file of [toJsonFile([whole], {}), toMarkdownFile(whole, {})]) {
    assert.deepEqual(parseFile(file)[0].messages, messages);
  }
});
