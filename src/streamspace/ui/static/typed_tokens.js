// How many tokens the message in a box will have, with the files that are attached, counted while it is typed.

import { element } from "./dom.js";
import { say } from "./language.js";

const QUIET_MS = 600; // without a key, before it is counted
const MS_A_CHARACTER = 0.02; // more for a long one, because the server lets few large bodies in
const LEAST = 100; // characters of a message that is worth counting
const METER = "#note meter"; // how much of the context the conversation has used

/** The line that tells it, for one box. */
export class TypedTokens {
  /** @param {() => string} message what is typed and attached now @param {boolean} hasMeter whether a conversation goes
   * before it */
  constructor(message, hasMeter) {
    this.message = message;
    this.hasMeter = hasMeter;
    this.line = element("p", { className: "typed-tokens" });
    this.timer = 0;
    this.length = 0; // of the message that was counted last
    this.asked = new AbortController();
  }

  /** The message has changed. */
  later() {
    clearTimeout(this.timer);
    this.asked.abort();
    this.timer = setTimeout(() => this.count(), QUIET_MS + this.length * MS_A_CHARACTER);
  }

  async count() {
    const text = this.message();
    this.length = text.length;
    if (text.length < LEAST) return this.show("", false);
    this.asked = new AbortController();
    const { signal } = this.asked;
    const body = JSON.stringify({ text });
    const headers = { "Content-Type": "application/json" };
    const answer = await fetch("count", { method: "POST", headers, body, signal }).catch(() => null);
    const told = await answer?.json().catch(() => null);
    if (signal.aborted) return;
    if (answer?.ok) return this.show(...this.sentence(told));
    this.show(answer?.status === 400 ? told.detail : "", true); // it is longer than the context
  }

  /** @param {{ tokens: number, context: number }} told @returns {[string, boolean]} */
  sentence({ tokens, context }) {
    /** @type {HTMLMeterElement | null} */
    const meter = this.hasMeter ? document.querySelector(METER) : null;
    const free = Math.max(0, context - (meter?.value ?? 0));
    const values = { number: tokens, most: free };
    return [say("This message: {number} {number:|token|tokens}; {most} {most:|is|are} free", values), tokens > free];
  }

  /** @param {string} words @param {boolean} isFull */
  show(words, isFull) {
    const isNews = words !== this.line.textContent && (isFull || this.line.matches(".full"));
    if (isNews) this.line.dispatchEvent(new Event("counted"));
    this.line.textContent = words;
    this.line.classList.toggle("full", isFull);
  }
}
