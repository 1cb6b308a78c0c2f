// Versions of a turn.

import assert from "node:assert/strict";
import test from "node:test";
import { message } from "../../src/streamspace/ui/static/conversation_records.js";
import { forked, switched, within } from "../../src/streamspace/ui/static/conversation_versions.js";

const note = (text) => ({ text, cut: false });
/** "q1 a1 q2" → messages, the questions begin with q. */
const path = (words) => words.split(" ").map((word) => message(word.startsWith("q") ? "user" : "assistant", word));
const words = ({ messages }) => messages.map(({ content }) => content[0].text).join(" ");
/** What is there after `before` when its last turn became new. */
const after = (before, text) => {
  const messages = path(text);
  return { messages, note: note(text), forks: forked(before, messages) };
};
const first = { messages: path("q1 a1 q2 a2"), note: note("first"), forks: [] };

test("another question, or the same answer again, makes no version", () => {
  assert.deepEqual(after(first, "q1 a1 q2 a2 q3 a3").forks, []);
  assert.deepEqual(after(first, "q1 a1 q2 a2").forks, []);
  assert.deepEqual(after({ messages: [], note: note(""), forks: [] }, "q1").forks, []);
  assert.deepEqual(forked(first, []), []);
});

test("an answer that is asked for again is beside the one before, also while it grows", () => {
  for (const grown of ["q1 a1 q2", "q1 a1 q2 b", "q1 a1 q2 b2"]) {
    const again = after(first, grown);
    assert.deepEqual(again.forks, [
      { at: 2, current: 1, branches: [{ messages: path("q2 a2"), note: note("first"), forks: [] }, null] },
    ]);
  }
  const third = after(after(first, "q1 a1 q2 b2"), "q1 a1 q2 c2");
  assert.deepEqual([third.forks[0].current, third.forks[0].branches.length], [2, 3]);
  assert.deepEqual(words(switched(third, 2, 0)), "q1 a1 q2 a2");
  assert.deepEqual(words(switched(switched(third, 2, 0), 2, 1)), "q1 a1 q2 b2");
});

test("an edited question keeps all that came after it, with versions of its own", () => {
  const again = after(first, "q1 a1 q2 b2");
  const edited = after(again, "qx ax");
  assert.deepEqual(
    edited.forks.map(({ at, current }) => [at, current]),
    [[0, 1]],
  );
  const back = switched(edited, 0, 0);
  assert.equal(words(back), "q1 a1 q2 b2");
  assert.equal(back.note.text, "q1 a1 q2 b2");
  assert.deepEqual(
    back.forks.map(({ at, current }) => [at, current]),
    [
      [0, 0],
      [2, 1],
    ],
  );
  const older = switched(back, 2, 0);
  assert.equal(words(older), "q1 a1 q2 a2");
  assert.equal(words(switched(older, 0, 1)), "qx ax");
  assert.equal(words(switched(switched(older, 0, 1), 0, 0)), "q1 a1 q2 a2"); // as it was left
});

test("there and back again is where it was, and a version that is not there changes nothing", () => {
  const edited = after(after(first, "q1 a1 q2 b2"), "qx ax qy ay");
  assert.deepEqual(switched(switched(edited, 0, 0), 0, 1), edited);
  for (const [at, number] of [
    [1, 0],
    [0, 1],
    [0, 7],
    [0, -1],
  ])
    assert.equal(switched(edited, at, number), edited);
});

test("what is undone takes its versions along", () => {
  const again = after(first, "q1 a1 q2 b2");
  assert.deepEqual(within(again.forks, path("q1 a1")), []);
  assert.deepEqual(within(again.forks, again.messages), again.forks);
});
