// Which frames the page draws: as many as it can.

import assert from "node:assert";
import { test } from "node:test";
import { add, paced } from "../../src/streamspace/ui/static/pacing.js";

const frame = (...data) => ({ type: "data", data });
const status = (stage) => ({ type: "status", stage });
const GOES_ON = status("generating");
const change = (changes = {}) => ({ __type__: "update", ...changes });

/** What is left of news that all come before the first is drawn. */
const left = (...news) => {
  const waiting = [];
  for (const one of news) add(waiting, one);
  return waiting;
};

test("of frames that wait the newest is left, and what came with it in the right order", () => {
  assert.deepEqual(left(frame("a"), GOES_ON, frame("ab"), GOES_ON, frame("abc"), status("complete")), [
    frame("abc"),
    GOES_ON, // which Stop waits for
    status("complete"),
  ]);
  assert.deepEqual(left(status("pending"), GOES_ON, frame("a")), [status("pending"), GOES_ON, frame("a")]);
  assert.deepEqual(left(frame("a"), status("error"), frame("b")), [frame("a"), status("error"), frame("b")]);
  assert.deepEqual(left(frame("a"), frame("b", "c")), [frame("a"), frame("b", "c")]); // of another shape
});

test("a change in a frame that is left out is not lost", () => {
  const left_out = [frame("a", change({ visible: true }), change({ value: 1 }), "x", null)];
  const merged = left(...left_out, frame("b", change(), change({ value: 2 }), change({ visible: false }), null));
  assert.deepEqual(merged, [
    frame("b", change({ visible: true }), change({ value: 2 }), change({ value: "x", visible: false }), null),
  ]);
});

test("no frame is shown before the one before is drawn, and the end comes at once with the last frame", async () => {
  const shown = [];
  const waits = [];
  let end = () => {};
  const ended = new Promise((resolve) => (end = resolve));
  async function* source() {
    yield GOES_ON;
    for (const text of ["a", "ab", "abc"]) {
      yield frame(text);
      yield GOES_ON;
    }
    await ended;
    yield frame("whole");
    yield status("complete");
  }
  const wait = () => new Promise((resolve) => waits.push(resolve));
  const showing = (async () => {
    for await (const news of paced(source(), wait)) shown.push(news);
  })();
  await new Promise((resolve) => setTimeout(resolve));
  assert.deepEqual(shown, [GOES_ON, frame("a")]);
  waits[0]();
  await new Promise((resolve) => setTimeout(resolve));
  assert.deepEqual(shown, [GOES_ON, frame("a"), GOES_ON, frame("abc")]);
  end(); // waits for no drawing
  await showing;
  assert.deepEqual(shown.slice(4), [frame("whole"), status("complete")]);
});

test("after a visitor has ended the event no frame is shown", async () => {
  let end = () => {};
  const ended = new Promise((resolve) => (end = resolve));
  async function* events() {
    for (const text of ["a", "ab"]) yield frame(text);
    await ended;
    yield frame("abc");
    yield { type: "data", data: null }; // Gradio's word that there is nothing
    yield status("complete");
  }
  const source = Object.assign(events(), { cancel: async () => end() });
  const shown = [];
  for await (const { data, stage } of paced(source, () => new Promise((resolve) => setTimeout(resolve, 5)))) {
    shown.push(data?.[0] ?? stage ?? data);
    if (shown.length === 1) await source.cancel();
  }
  assert.deepEqual(shown, ["a", null, "complete"]);
});

test("an error comes after what came before it, and who leaves ends the source", async () => {
  let ended = 0;
  async function* source(fails) {
    try {
      yield frame("a");
      if (fails) throw new Error("broken");
      yield frame("b");
    } finally {
      ended += 1;
    }
  }
  const shown = [];
  const read = async () => {
    for await (const news of paced(source(true), async () => {})) shown.push(news);
  };
  await assert.rejects(read, /broken/);
  assert.deepEqual(shown, [frame("a")]);
  for await (const _ of paced(source(false), async () => {})) break;
  await new Promise((resolve) => setTimeout(resolve));
  assert.equal(ended, 2);
});
