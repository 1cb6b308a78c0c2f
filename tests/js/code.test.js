// This conversation as code.

import assert from "node:assert/strict";
import test from "node:test";
import {
  curl,
  given,
  gradioClient,
  openaiJavaScript,
  openaiPython,
  python,
} from "../../src/streamspace/ui/static/code.js";

const server = { url: "http://localhost:7860", model: "org/model", needsKey: false };
const said = [
  { role: "system", content: 'Be "brief".' },
  { role: "user", content: "It's\n<b>é</b>?" },
];
const settings = {
  adapter: null,
  max_tokens: 100,
  temperature: 0,
  top_p: 1,
  top_k: 0,
  min_p: 0,
  repetition_penalty: 1.1,
};
const all = { ...settings, seed: null, stop: ["\n\n"], enable_thinking: false };

test("a setting that changes nothing is left out", () => {
  assert.deepEqual(given({ ...settings, seed: null, stop: [] }), {
    max_tokens: 100,
    temperature: 0,
    top_p: 1,
    repetition_penalty: 1.1,
  });
  assert.equal(given({ seed: 0 }).seed, 0);
});

test("values are Python's", () => {
  assert.equal(python([true, null, 1.5, "a'\"\n", { b: false }]), '[True, None, 1.5, "a\'\\"\\n", {"b": False}]');
  assert.equal(python(["x".repeat(60), "y".repeat(60)]), `[\n    "${"x".repeat(60)}",\n    "${"y".repeat(60)}",\n]`);
});

test("curl sends the JSON as it is, whatever the question has", () => {
  const text = curl(server, all, said);
  const [, body] = /-d '([\s\S]*)'\n$/.exec(text);
  const fields = JSON.parse(body.replaceAll("'\\''", "'"));
  assert.deepEqual(fields.messages, said);
  assert.deepEqual(fields.chat_template_kwargs, { enable_thinking: false });
  assert.ok(!text.includes("Authorization"));
  assert.match(curl({ ...server, needsKey: true }, all, said), /-H "Authorization: Bearer \$API_KEY"/);
  assert.equal(JSON.parse(/-d '([\s\S]*)'/.exec(curl(server, { adapter: "sql" }, []))[1]).model, "sql");
});

test("what OpenAI's client does not know goes into extra_body", () => {
  const text = openaiPython(server, all, said);
  assert.match(text, /base_url="http:\/\/localhost:7860\/v1", api_key="none"/);
  assert.match(text, /extra_body=\{"repetition_penalty": 1.1, "chat_template_kwargs": \{"enable_thinking": False\}\},/);
  assert.match(text, /\n {4}stop=\["\\n\\n"\],\n/);
  assert.match(
    openaiPython({ ...server, needsKey: true }, all, said),
    /^import os\n[\s\S]*api_key=os.environ\["API_KEY"\]/,
  );
  assert.match(openaiJavaScript(server, all, said), /baseURL: "http:\/\/localhost:7860\/v1", apiKey: "none"/);
});

test("gradio_client asks the last question after the history", () => {
  const text = gradioClient(server, all, [
    ...said,
    { role: "assistant", content: "Yes." },
    { role: "user", content: "Why?" },
  ]);
  assert.match(text, /message="Why\?"/);
  assert.match(text, /history=\[\n[\s\S]*"role": "assistant", "content": "Yes."/);
  assert.match(text, /system_prompt="Be \\"brief\\"\."/);
  assert.match(text, /enable_thinking=False,\n {4}api_name="\/chat"/);
});
