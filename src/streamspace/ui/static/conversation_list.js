// The list of conversations in the sidebar. All text goes in as text, never as HTML.

/** @import { ConversationRecord, Pixels } from "./conversation_records.js" */
import { matches, titleOf, toJsonFile, toMarkdownFile } from "./conversation_records.js";
import { download, element, find } from "./dom.js";
import { focusMessageBox, isSidebarOpen } from "./gradio_dom.js";
import { say } from "./language.js";
import { closeDrawer } from "./sidebar.js";

const MOST_TITLE_CHARS = 200;

/** What the list shows and does.
 * @typedef {{
 *   readAll: () => Promise<ConversationRecord[]>,
 *   pixelsOf: (records: ConversationRecord[]) => Promise<Pixels>,
 *   currentId: () => string,
 *   open: (id: string | null) => Promise<void>,
 *   rename: (record: ConversationRecord, title: string) => Promise<void>,
 *   remove: (record: ConversationRecord) => Promise<void>,
 *   importFiles: (files: FileList) => Promise<void>,
 *   share: (record: ConversationRecord) => Promise<void>,
 *   exportAll: () => Promise<void>,
 * }} Actions */

export class ConversationList {
  /** @param {Actions} actions */
  constructor(actions) {
    this.actions = actions;
    this.hasFailed = false; // whether the sentence is about a failure
    /** @type {string | null} id of the record whose actions are shown */
    this.menu = null;
    this.sentence = element("span", { role: "status" });
    this.undo = element("span", {});
    const label = say("Search titles and texts");
    this.search = element("input", { type: "search", placeholder: label, "aria-label": label });
    this.search.oninput = () => this.attempt(() => this.draw(true));
    this.search.onkeydown = ({ key }) => {
      if (key === "Enter") this.attempt(() => this.openFirst());
    };
    this.rows = element("ul", { "aria-label": say("Kept conversations") });
    this.empty = element("p", {});
    const newChat = this.button(say("New chat"), () => this.open(null), { className: "new" });
    find("#conversations").replaceChildren(newChat, this.search, this.rows, this.empty, this.foot());
    find("#said").replaceChildren(this.sentence, " ", this.undo);
  }

  foot() {
    const file = element("input", { type: "file", accept: ".json,.md", multiple: true, hidden: true });
    file.onchange = async () => {
      const { files } = file;
      if (files) await this.attempt(() => this.actions.importFiles(files));
      file.value = ""; // so that the same file can be chosen again
    };
    const importing = this.button(say("Import"), () => file.click());
    return element(
      "div",
      { className: "row" },
      importing,
      this.button(say("Export all"), this.actions.exportAll),
      file,
    );
  }

  /** @param {string} text @param {() => unknown} onClick @param {Record<string, unknown>} properties */
  button(text, onClick, properties = {}) {
    const onclick = () => this.attempt(onClick);
    return element("button", { type: "button", textContent: text, onclick, ...properties });
  }

  /** @param {() => unknown} work */
  async attempt(work) {
    try {
      await work();
    } catch (error) {
      this.announceFailure(error);
    }
  }

  /** Show one sentence above the chat, for screen readers alone unless `isSeen`, and how to undo what it says.
   * @param {string} sentence @param {{ undo?: () => unknown, isSeen?: boolean }} options */
  announce(sentence, { undo, isSeen = true } = {}) {
    this.hasFailed = false;
    this.sentence.className = isSeen ? "" : "unseen";
    this.sentence.textContent = sentence;
    this.undo.replaceChildren(...(undo ? [this.button(say("Undo"), undo)] : []));
  }

  /** Whether there is a sentence to be read. */
  get isSaying() {
    return this.sentence.textContent !== "";
  }

  /** @param {unknown} error */
  announceFailure(error) {
    console.warn("Conversations:", error);
    const isFull = error instanceof Error && error.name === "QuotaExceededError";
    const full = say("The browser's storage is full, so this conversation is not kept: delete others, or export it.");
    this.announce(isFull ? full : say("This browser could not keep the conversation: export it before you leave."));
    this.hasFailed = true;
  }

  /** Take back the sentence about a failure, which is over. */
  endFailure() {
    if (this.hasFailed) this.announce("");
  }

  /** Open a conversation for the visitor, null for a new one, and move the focus to the message box.
   * @param {ConversationRecord | null} record */
  async open(record) {
    await this.actions.open(record ? record.id : null);
    const isDrawer = closeDrawer();
    if (!isDrawer || !record) focusMessageBox(); // a phone's keyboard would cover what was opened
    this.announce(record ? say("Opened “{title}”.", { title: titleOf(record) }) : "", { isSeen: false });
  }

  /** Those with the words that are searched for. @param {ConversationRecord[]} all */
  foundIn(all) {
    const words = this.search.value.trim().toLowerCase();
    return words ? all.filter((record) => matches(record, words)) : all;
  }

  /** Draw the rows anew, unless nobody sees them or a title is being typed into one. */
  async draw(isSearch = false) {
    if (!isSidebarOpen() || this.rows.querySelector("input")) return;
    const words = this.search.value.trim();
    const all = await this.actions.readAll();
    const found = this.foundIn(all);
    const { of, does } = document.activeElement instanceof HTMLElement ? document.activeElement.dataset : {};
    this.rows.replaceChildren(...found.map((record) => this.row(record)));
    const none = say("None yet: a conversation is kept here, in this browser alone, from its first question on.");
    const nothingFound = found.length ? "" : say("Nothing found.");
    this.empty.textContent = all.length ? nothingFound : none;
    if (isSearch) this.announce(words ? say("{number} found.", { number: found.length }) : "", { isSeen: false });
    if (of) this.focus(of, does);
  }

  /** Open the first conversation that was found. */
  async openFirst() {
    const [found] = this.search.value.trim() ? this.foundIn(await this.actions.readAll()) : [];
    if (found) await this.open(found);
  }

  /** @param {string} id @param {string} does */
  focus(id, does = "open") {
    /** @type {HTMLElement | null} */
    const button = this.rows.querySelector(`[data-of="${CSS.escape(id)}"][data-does="${does}"]`);
    button?.focus();
  }

  /** @param {ConversationRecord} record */
  row(record) {
    const title = titleOf(record);
    const isOpen = this.menu === record.id;
    const isCurrent = record.id === this.actions.currentId();
    /** @param {string} does @param {string} text @param {() => unknown} work @param {Record<string, unknown>} [more] */
    const act = (does, text, work, more) => {
      const button = this.button(text, work, more);
      Object.assign(button.dataset, { of: record.id, does });
      return button;
    };
    const name = act("open", title, () => this.open(record), { className: "name", title });
    if (isCurrent) name.setAttribute("aria-current", "true");
    const when = dateText(record.updated);
    const details = record.live.length && !isCurrent ? say("{when}, interrupted", { when }) : when;
    const label = { "aria-label": say("Actions for “{title}”", { title }), "aria-expanded": String(isOpen) };
    const menu = act("menu", "⋯", () => this.choose(isOpen ? null : record.id), label);
    const row = element("li", {}, name, element("small", {}, details), menu);
    if (!isOpen) return row;
    const markdown = async () => {
      const text = toMarkdownFile(record, await this.actions.pixelsOf([record]));
      download(`${title}.md`, text, "text/markdown");
    };
    const buttons = [
      act("rename", say("Rename"), () => this.edit(record, name)),
      act("markdown", say("Export Markdown"), markdown),
      act("json", say("Export JSON"), () => this.exportJson(record)),
      act("link", say("Link"), () => this.actions.share(record)),
      act("remove", say("Delete"), () => this.remove(record)),
    ];
    row.append(element("div", { className: "row" }, ...buttons));
    return row;
  }

  /** @param {ConversationRecord} record */
  async exportJson(record) {
    const text = toJsonFile([record], await this.actions.pixelsOf([record]));
    download(`${titleOf(record)}.json`, text, "application/json");
  }

  /** @param {string | null} id */
  async choose(id) {
    this.menu = id;
    await this.draw();
  }

  /** Put a field for a new title in place of the title: Enter and leaving the field take its text, Escape does not.
   * @param {ConversationRecord} record @param {HTMLElement} name */
  edit(record, name) {
    const title = titleOf(record);
    const label = say("New title for “{title}”", { title });
    const field = element("input", { value: title, maxLength: MOST_TITLE_CHARS, "aria-label": label });
    const leave = async (isTaken = true) => {
      if (!field.isConnected) return;
      field.onblur = null;
      field.replaceWith(name);
      this.menu = null;
      if (isTaken && field.value !== title) await this.actions.rename(record, field.value);
      else await this.draw();
      this.focus(record.id);
    };
    field.onkeydown = ({ key, isComposing }) => {
      if (!isComposing && (key === "Enter" || key === "Escape")) this.attempt(() => leave(key === "Enter"));
    };
    field.onblur = () => this.attempt(leave);
    name.replaceWith(field);
    field.select();
  }

  /** @param {ConversationRecord} record */
  async remove(record) {
    await this.actions.remove(record);
    this.undo.querySelector("button")?.focus();
  }
}

/** @param {number} milliseconds of Unix time */
function dateText(milliseconds) {
  const date = new Date(milliseconds);
  const isToday = date.toDateString() === new Date().toDateString();
  return new Intl.DateTimeFormat(undefined, isToday ? { timeStyle: "short" } : { dateStyle: "short" }).format(date);
}
