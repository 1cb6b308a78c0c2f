// Asks through a client that people use from Node, and prints what came of it as JSON:
//   node ask.mjs openai URL '{"key": ..., "route": "chat" or "completions", "leaves": false, ...its parameters}'
//   node ask.mjs gradio URL '{"endpoint": "/chat", "leaves": false, ...its parameters}'
// Whoever `leaves` does so in the middle of the answer, without a word.
import { Client } from "@gradio/client";
import OpenAI from "openai";

const [entrypoint, url, given] = process.argv.slice(2);

async function* openai({ key, route, ...asked }) {
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: key, maxRetries: 0 });
  const routes = { chat: client.chat.completions, completions: client.completions };
  let text = "";
  for await (const chunk of await routes[route].create({ ...asked, stream: true })) {
    text += chunk.choices[0].delta?.content ?? chunk.choices[0].text ?? "";
    if (text) yield text;
  }
}

async function* gradio({ endpoint, ...asked }) {
  const client = await Client.connect(url, { events: ["data", "status"] });
  for await (const message of client.submit(endpoint, asked)) {
    if (message.type === "data" && message.data[0]) yield message.data[0];
    if (message.type === "status" && message.stage === "error") throw new Error(message.message);
    if (message.type === "status" && message.stage === "complete") break;
  }
}

const { leaves, ...asked } = JSON.parse(given);
const frames = [];
try {
  for await (const frame of { openai, gradio }[entrypoint](asked)) {
    frames.push(frame);
    if (leaves) process.exit();
  }
  console.log(JSON.stringify({ text: frames.at(-1), num_frames: frames.length }));
} catch (error) {
  console.log(JSON.stringify({ error: error.message, status: error.status }));
}
process.exit(); // Gradio's client keeps a connection open
