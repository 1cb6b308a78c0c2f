// Conversations in links: what comes back, and what is refused.

import assert from "node:assert/strict";
import test from "node:test";
import { deflateRawSync } from "node:zlib";
import { linkedRecord, linkTo } from "../../src/streamspace/ui/static/conversation_link.js";
import { message } from "../../src/streamspace/ui/static/conversation_records.js";

Object.defineProperty(globalThis, "navigator", { value: { language: "en" } });
const PAGE = "https://a.example/page?__sign=secret#x";
const note = { text: "", cut: false };
const fork = { at: 0, current: 0, branches: [null, { messages: [message("user", "other")], note, forks: [] }] };

/** @param {import("../../src/streamspace/ui/static/conversation_records.js").Message[]} messages */
const record = (...messages) => ({
  ...{ version: 3, id: "a", revision: "b", title: "Mine", updated: 1e12, live: [], note, system: "Be brief." },
  messages,
  forks: [fork],
});
/** @param {string | object} content */
const packed = (content) => {
  const text = typeof content === "string" ? content : JSON.stringify(content);
  return `#conversation=${deflateRawSync(text).toString("base64url")}`;
};

test("a link brings texts, title and system prompt, and has nothing of the page's address but its place", async () => {
  const question = message("user", "你好 <b> +/=", { pictures: ["p"] });
  const thought = message("assistant", "Hm", { title: "Thought", duration: 2 });
  const link = await linkTo(record(question, thought, message("assistant", "Hi")), PAGE);
  assert.match(link ?? "", /^https:\/\/a\.example\/page#conversation=[\w-]+$/);
  const read = await linkedRecord(new URL(link ?? "").hash);
  assert.deepEqual(
    read?.messages.map(({ content, metadata }) => [content[0].text, metadata?.title]),
    [
      ["你好 <b> +/=", undefined],
      ["Hm", "Thought"],
      ["Hi", undefined],
    ],
  );
  assert.deepEqual([read?.title, read?.system, read?.forks], ["Mine", "Be brief.", []]);
  assert.notEqual(read?.id, "a");
});

test("a conversation that is too long has no link", async () => {
  const noise = Array.from({ length: 60_000 }, (_, index) => Math.sin(index).toString(36)[5]).join("");
  assert.equal(await linkTo(record(message("user", noise)), PAGE), null);
  assert.ok(await linkTo(record(message("user", "word ".repeat(60_000))), PAGE));
});

test("a page without a link has no conversation of one", async () => {
  for (const fragment of ["", "#", "#other=1"]) assert.equal(await linkedRecord(fragment), null);
});

test("a link that is broken, cut off, forged or a bomb is refused", async () => {
  const file = { format: "streamspace-conversations", version: 1 };
  const conversation = { title: "", system_prompt: "", messages: [{ role: "user", content: "x" }] };
  const whole = packed({ ...file, conversations: [conversation] });
  assert.ok(await linkedRecord(whole));
  const broken = [
    ...[whole.slice(0, -9), `${whole}!`, "#conversation=", "#conversation=%%%", packed("no JSON"), packed({})],
    packed({ ...file, conversations: [{ ...conversation, messages: [{ role: "system", content: "x" }] }] }),
    packed({ ...file, conversations: [{ ...conversation, system_prompt: { toString: "x" } }] }),
    packed({ ...file, version: 9, conversations: [conversation] }),
    packed({ ...file, conversations: [{ ...conversation, messages: [{ role: "user", content: "x".repeat(2e6) }] }] }),
  ];
  for (const fragment of broken) await assert.rejects(linkedRecord(fragment), fragment.slice(0, 60));
});
