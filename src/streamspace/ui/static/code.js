// This conversation as a program would have it: curl, OpenAI's clients, gradio_client. Pure.

/** @typedef {{ role: string, content: string }} Said
 * @typedef {{ url: string, model: string, needsKey: boolean }} Server
 * @typedef {Record<string, unknown>} Settings under vLLM's names */

const NEUTRAL = { top_k: 0, min_p: 0, repetition_penalty: 1, seed: null, adapter: null, enable_thinking: null };
const OPENAI = ["max_tokens", "temperature", "top_p", "seed", "stop"]; // what OpenAI's own clients know

/** The settings that change something. @param {Settings} settings @returns {Settings} */
export function given(settings) {
  const changes = Object.entries(settings).filter(([name, value]) => {
    const neutral = /** @type {Settings} */ (NEUTRAL)[name];
    return !(name in NEUTRAL && value === neutral) && !(Array.isArray(value) && !value.length);
  });
  return Object.fromEntries(changes);
}

/** The fields of a request to /v1. @param {Server} server @param {Settings} settings @param {Said[]} messages */
function request(server, settings, messages) {
  const { adapter, enable_thinking, ...others } = given(settings);
  const template = enable_thinking === undefined ? {} : { chat_template_kwargs: { enable_thinking } };
  return { model: adapter ?? server.model, messages, ...others, ...template, stream: true };
}

/** A value in Python. @param {unknown} value @param {string} indent @returns {string} */
export function python(value, indent = "") {
  const inner = `${indent}    `;
  if (value === null || value === undefined) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value !== "object") return JSON.stringify(value);
  const isList = Array.isArray(value);
  const parts = isList
    ? value.map((each) => python(each, inner))
    : Object.entries(value).map(([name, each]) => `${JSON.stringify(name)}: ${python(each, inner)}`);
  const [open, close] = isList ? "[]" : "{}";
  const line = `${open}${parts.join(", ")}${close}`;
  if (!line.includes("\n") && line.length + indent.length < 90) return line;
  return `${open}\n${parts.map((part) => `${inner}${part},\n`).join("")}${indent}${close}`;
}

/** @param {Server} server @param {Settings} settings @param {Said[]} messages */
export function curl(server, settings, messages) {
  const body = JSON.stringify(request(server, settings, messages), null, 2).replaceAll("'", "'\\''");
  const key = server.needsKey ? ' \\\n  -H "Authorization: Bearer $API_KEY"' : "";
  return `curl -N ${server.url}/v1/chat/completions \\\n  -H "Content-Type: application/json"${key} \\\n  -d '${body}'\n`;
}

/** @param {Server} server @param {Settings} settings @param {Said[]} messages */
export function openaiPython(server, settings, messages) {
  const { stream, ...fields } = request(server, settings, messages);
  const own = Object.entries(fields).filter(([name]) => ["model", "messages", ...OPENAI].includes(name));
  const extra = Object.fromEntries(Object.entries(fields).filter(([name]) => !own.some(([known]) => known === name)));
  const all = [...own, ["stream", stream], ...(Object.keys(extra).length ? [["extra_body", extra]] : [])];
  const lines = all.map(([name, value]) => `    ${name}=${python(value, "    ")},\n`).join("");
  const key = server.needsKey ? 'os.environ["API_KEY"]' : '"none"';
  return `${server.needsKey ? "import os\n\n" : ""}from openai import OpenAI

client = OpenAI(base_url=${JSON.stringify(`${server.url}/v1`)}, api_key=${key})
stream = client.chat.completions.create(
${lines})
for chunk in stream:
    print(chunk.choices[0].delta.content or "", end="")
`;
}

/** @param {Server} server @param {Settings} settings @param {Said[]} messages */
export function openaiJavaScript(server, settings, messages) {
  const key = server.needsKey ? "process.env.API_KEY" : '"none"';
  return `import OpenAI from "openai";

const client = new OpenAI({ baseURL: ${JSON.stringify(`${server.url}/v1`)}, apiKey: ${key} });
const stream = await client.chat.completions.create(${JSON.stringify(request(server, settings, messages), null, 2)});
for await (const chunk of stream) process.stdout.write(chunk.choices[0]?.delta?.content ?? "");
`;
}

/** @param {Server} server @param {Settings} settings @param {Said[]} messages the last one is the question */
export function gradioClient(server, settings, messages) {
  const system = messages.find(({ role }) => role === "system");
  const talk = messages.filter((each) => each !== system);
  const history = talk.slice(0, -1);
  const fields = {
    message: talk.at(-1)?.content ?? "",
    ...(history.length ? { history } : {}),
    system_prompt: system?.content ?? "",
    ...given(settings),
  };
  const lines = Object.entries(fields).map(([name, value]) => `    ${name}=${python(value, "    ")},\n`);
  return `from gradio_client import Client

client = Client(${JSON.stringify(`${server.url}/`)})
job = client.submit(
${lines.join("")}    api_name="/chat",
)
for text in job:
    print(text)  # the answer so far
`;
}
