// The conversations of this browser: saved as they go on, shown again after a reload, and listed in the sidebar.

/** @import { Actions } from "./conversation_list.js" */
/** @import { Content, ConversationRecord, Message } from "./conversation_records.js" */
/** @import { Store } from "./conversation_store.js" */
import * as aloud from "./aloud.js";
import * as arrival from "./arrival.js";
import { isAnew, isBusy, isCleared, keep } from "./chat.js";
import { section } from "./code_sheet.js";
import { takeOffered } from "./compare.js";
import { linkedRecord, linkTo } from "./conversation_link.js";
import { ConversationList } from "./conversation_list.js";
import * as records from "./conversation_records.js";
import {
  DATABASE,
  memoryStore,
  openStore,
  rememberedId,
  rememberId,
  setUnsaved,
  unsaved,
} from "./conversation_store.js";
import { forked, switched, within } from "./conversation_versions.js";
import { showSheet } from "./dialogs.js";
import { download, element, find } from "./dom.js";
import * as exportButton from "./export_button.js";
import * as failures from "./failures.js";
import { focusMessageBox } from "./gradio_dom.js";
import { say } from "./language.js";
import { remember } from "./pictures.js";
import * as sidebar from "./sidebar.js";
import * as versions from "./versions.js";

const LOOK_MS = 250; // how often an answer under way is saved
const STOP_MS = 3000; // how long a stopped answer may take to end
const MOST_MEBIBYTES = 256; // of an imported file

/** @type {ConversationList} */ let list;
/** @type {Store} */ let store; // there once the page is
/** @type {BroadcastChannel | undefined} */ let otherTabs;
let currentId = records.randomId(); // of the conversation that this tab shows
/** @type {Promise<unknown>} */
let saving = Promise.resolve(); // one save after the other
/** @type {Map<string, string>} id → the revision that this tab knows */
const revisions = new Map();
/** @type {Map<string, string>} id that the page still has → the copy that this tab went on with */
const copies = new Map();
let whenSaved = () => {};
/** @type {{ id: string, content: Content } | null} the last full save, if a turn was under way then */
let turn = null;
/** @type {import("./conversation_versions.js").Branch} what stood there when no turn was under way */
let settled = { messages: [], note: { text: "", cut: false }, forks: [] };
/** @type {{ id: string, live: Message[] } | null} the turn under way as it was drawn last, unless it has been saved */
let latest = null;
let newSystemPrompt = ""; // that a new chat begins with
/** @type {ConversationRecord | null} the conversation for `show`; null is a new chat */
let next = null;
/** @type {ConversationRecord | null} the conversation of a link, which is read and not kept */
let linked = null;

/** All readable records, the latest first; sets damaged ones aside. */
async function readAll() {
  const all = await store.all();
  const damaged = all.filter((record) => !records.isRecord(record) && !records.isNewer(record));
  if (damaged.length) {
    await store.setAside(damaged);
    const values = { number: damaged.length };
    list.announce(say("Damaged conversations, set aside: {number}; “Export all” has what is left of them.", values));
  } else if (all.some(records.isNewer) && !list.isSaying) announceNewer();
  return all.filter(records.isRecord).sort((a, b) => b.updated - a.updated);
}

const announceNewer = () =>
  list.announce(say("The conversations in this browser are of a newer version of this page: they stay as they are."));

/** The pictures of conversations; the page knows them from now on. @param {ConversationRecord[]} conversations */
async function pixelsOf(conversations) {
  const pixels = await store.pixels([...new Set(conversations.flatMap(records.pictureIds))]);
  for (const [id, url] of Object.entries(pixels)) remember(id, url);
  return pixels;
}

/** @param {string} id */
function setCurrent(id) {
  currentId = id;
  rememberId(id);
}

/** Draw the list anew, in all tabs. */
function drawEverywhere() {
  otherTabs?.postMessage("changed");
  return list.draw();
}

// ---- What the page calls

/** A copy of what Gradio hands out, which may be a proxy. @param {Message[] | null} messages @returns {Message[]} */
const plain = (messages) => JSON.parse(JSON.stringify(messages ?? []));

/** Save what the page shows. The values of its components come together, so that none goes to another record.
 * @param {string | null} id @param {Message[] | null} messages @param {Message[] | null} live
 * @param {string | null} note as HTML, which is parsed in a document that runs nothing @param {string | null} system */
export async function save(id, messages, live, note, system) {
  if (!store) return;
  stopReading(); // another tab of the page added to it
  const isBeingCleared = isBusy() && isCleared();
  const { body } = new DOMParser().parseFromString(note ?? "", "text/html");
  const content = {
    messages: isBeingCleared ? [] : plain(messages),
    live: isBeingCleared ? [] : plain(live),
    note: { text: body.textContent ?? "", cut: body.querySelector(".cut") !== null },
    system: system ?? "",
    forks: settled.forks,
  };
  content.forks = forksOf(content);
  turn = content.live.length ? { id: id || currentId, content } : null;
  const isWhole = !isBusy() && !turn;
  if (isWhole) setSettled(content);
  if (isWhole && content.messages.length) setUnsaved(recordOf(id || currentId, content, null));
  const isSaved = await enqueue(id || currentId, content);
  if (isBusy() || turn) return;
  if (isSaved) setUnsaved(null);
  whenSaved();
}

/** @param {string} id @param {Content} content @param {string | null} title @returns {ConversationRecord} */
const recordOf = (id, content, title) => ({
  ...content,
  version: records.VERSION,
  id,
  revision: records.randomId(),
  title,
  updated: Date.now(),
});

/** Save what the page was left before the save of, unless a later save came first. */
async function saveLeft() {
  const left = unsaved();
  setUnsaved(null);
  if (!left) return;
  await store.update(left.id, (stored) =>
    stored && stored.updated > left.updated ? stored : { ...left, title: stored?.title ?? null },
  );
}

/** The forks of what the page shows. @param {Content} content */
function forksOf({ messages, live }) {
  const path = [...messages, ...live];
  const forks = isAnew() ? forked(settled, path) : within(settled.forks, path);
  const offered = takeOffered();
  return offered && offered.at < path.length ? [...forks, offered] : forks;
}

/** No turn is under way any more. @param {Content} content */
function setSettled({ messages, note, forks }) {
  keep(messages);
  settled = { messages, note, forks };
  versions.show(settled);
}

/** Have the page show another version of a turn. @param {number} at @param {number} number */
async function choose(at, number) {
  if (isBusy()) return;
  await saving;
  const revision = records.randomId();
  await store.update(currentId, (stored) => (stored ? { ...switched(stored, at, number), revision } : null));
  await open(currentId);
}

/** Remember how far the answer under way has come: Gradio calls nothing more when a connection is lost.
 * @param {string | null} id @param {Message[] | null} live */
export function follow(id, live) {
  latest = live?.length ? { id: id || currentId, live } : null;
}

/** Save that: the rest of the page stays as it is, and costs nothing. */
async function saveTurn() {
  if (!turn || turn.id !== latest?.id || isCleared()) return;
  const live = plain(latest.live);
  latest = null;
  await enqueue(turn.id, { ...turn.content, live });
}

/** Save after the save before; gives whether it could. @param {string} id @param {Content} content */
async function enqueue(id, content) {
  const isSaved = saving
    .then(() => write(copies.get(id) ?? id, content))
    .then(() => true)
    .catch((error) => {
      list.announceFailure(error);
      return false;
    });
  saving = isSaved;
  return isSaved;
}

/** @param {string} id @param {Content} content @returns {Promise<void>} */
async function write(id, content) {
  const isEmpty = !content.messages.length && !content.live.length;
  const record = recordOf(id, content, null);
  const known = revisions.get(id);
  const before = await store.update(id, (stored) => {
    if (stored && stored.revision !== known) return stored;
    return isEmpty ? null : { ...record, title: stored?.title ?? null };
  });
  if (before && before.revision !== known) return writeCopy(id, content, isEmpty);
  list.endFailure();
  if (isEmpty) revisions.delete(id);
  else revisions.set(id, record.revision);
  if (isEmpty && before && isCleared()) announceRemoved(before);
  if (!before !== isEmpty || !content.live.length) await drawEverywhere();
}

/** Go on with a copy of a conversation that went on in another tab.
 * @param {string} id @param {Content} content @param {boolean} isEmpty */
function writeCopy(id, content, isEmpty) {
  const copy = records.randomId();
  for (const [shown, target] of [...copies, [id, id]]) if (target === id) copies.set(shown, copy);
  if (currentId === id) setCurrent(copy);
  if (!isEmpty) list.announce(say("This conversation went on in another tab; what is written here goes on in a copy."));
  return write(copy, content);
}

/** The values by which the page shows the conversation that was opened. @param {string | null} box */
export function show(box) {
  aloud.silence();
  failures.clear();
  document.documentElement.classList.toggle("reading", next !== null && next === linked);
  if (next !== linked) stopReading();
  if (!next) {
    setCurrent(records.randomId());
    setSettled({ messages: [], live: [], note: { text: "", cut: false }, system: "", forks: [] });
    return [currentId, [], [], "", newSystemPrompt, undefined, undefined];
  }
  revisions.set(next.id, next.revision);
  copies.delete(next.id);
  setCurrent(next.id);
  const values = records.pageValues(next, box);
  const messages = /** @type {Message[]} */ (values[1]);
  setSettled({ ...next, messages, forks: within(next.forks, messages) });
  return values;
}

/** When the page is there: show again what this tab showed before a reload.
 * @param {string | null} systemPrompt @param {string | null} box */
export async function begin(systemPrompt, box) {
  newSystemPrompt = systemPrompt ?? "";
  list = new ConversationList(actions);
  try {
    const kept = await openStore();
    otherTabs = new BroadcastChannel(DATABASE);
    otherTabs.onmessage = () => list.draw();
    store = kept;
  } catch (error) {
    store = memoryStore();
    const blocked = say(
      "This browser keeps nothing for this page (blocked storage or private mode): conversations end with it.",
    );
    if (error instanceof Error && error.name === "VersionError") announceNewer();
    else list.announce(blocked);
  }
  saveNowAndThen();
  try {
    await saveLeft();
    const id = rememberedId();
    const kept = (await readAll()).find((record) => record.id === id) ?? null;
    if (kept) await pixelsOf([kept]);
    linked = isBusy() || box ? null : await readLink();
    next = linked ?? kept;
  } catch (error) {
    list.announceFailure(error);
  }
  window.addEventListener("hashchange", () => list.attempt(openLink));
  sidebar.begin(() => list.draw());
  versions.begin((at, number) => list.attempt(() => choose(at, number)));
  aloud.begin();
  exportButton.begin(() => list.attempt(exportShown));
  arrival.keepDraft();
  const question = isBusy() || box || linked ? null : arrival.linkedQuestion();
  const typed = box || question || arrival.draft();
  if (next && !isBusy() && !question) {
    const values = show(typed);
    values[5] ??= box ? undefined : typed;
    return values;
  }
  setCurrent(currentId);
  if (isBusy() || box) return [currentId]; // and nothing else: the visitor has begun already
  return [currentId, undefined, undefined, undefined, undefined, typed || undefined];
}

/** Save an answer under way now and then. Its first save has everything, the others what came since. */
function saveNowAndThen() {
  /** @type {number | undefined} */
  let timer;
  const look = () => {
    clearInterval(timer);
    turn = null;
    // The hidden button's event calls `save`.
    if (isBusy()) timer = window.setInterval(() => (turn ? saveTurn() : find("#keep").click()), LOOK_MS);
  };
  new MutationObserver(look).observe(find("#compose"), { attributeFilter: ["class"] });
  look(); // the visitor may have asked already
}

// ---- What the list does

/** Show this conversation, null for a new one. @param {string | null} id */
async function open(id) {
  await leave();
  next = (id && (await store.get(id))) || null;
  if (next) await pixelsOf([next]);
  await present();
}

/** Before another conversation: an answer under way is stopped, and kept as far as it came. */
async function leave() {
  if (isBusy()) {
    /** @type {Promise<void>} */
    const saved = new Promise((resolve) => {
      whenSaved = resolve;
    });
    find("#stop").click();
    await Promise.race([saved, new Promise((resolve) => setTimeout(resolve, STOP_MS))]);
  }
  await saving;
}

/** Show the next conversation. */
async function present() {
  find("#open").click(); // the hidden button, whose event calls `show`
  await list.draw();
}

// ---- Links

/** The conversation of the page's address, to be read; null if there is none, or none that can be read. */
async function readLink() {
  try {
    const record = await linkedRecord(location.hash);
    const words = say("A conversation from a link: it is kept in this browser once you go on from it.");
    if (record) list.announce(words);
    return record;
  } catch (error) {
    console.warn("Link:", error);
    list.announce(say("The conversation of this link cannot be shown: it was cut off, or is none of this page."));
    return null;
  }
}

/** Show the conversation of an address that was put into the open page. */
async function openLink() {
  const record = await readLink();
  if (!record) return;
  await leave(); // the end of an answer under way is saved, which would end the reading
  linked = record;
  next = record;
  await present();
}

/** The conversation is no more that of the page's address. */
function stopReading() {
  if (!linked) return;
  linked = null;
  document.documentElement.classList.remove("reading");
  history.replaceState(history.state, "", location.pathname + location.search);
}

/** Keep the conversation of a link, and go on from there. */
export const goOn = () =>
  list.attempt(async () => {
    const record = linked;
    if (!record) return;
    await store.update(record.id, () => ({ ...record, updated: Date.now() }));
    stopReading();
    list.announce("");
    await drawEverywhere();
    focusMessageBox();
  });

/** Export the conversation that the page shows. */
async function exportShown() {
  await saving;
  const record = await store.get(currentId);
  if (record) await list.exportJson(record);
}

/** @param {ConversationRecord} record */
function announceRemoved(record) {
  const title = records.titleOf(record);
  const undo = async () => {
    const restored = { ...record, id: records.randomId() };
    await store.update(restored.id, () => restored);
    if (!(await store.get(currentId))) await open(restored.id);
    list.announce(say("“{title}” is back.", { title }));
    await drawEverywhere();
  };
  list.announce(say("Deleted “{title}”.", { title }), { undo });
}

/** The records of a file, or the sentence that says why it is not imported. @param {File} file */
async function recordsOf(file) {
  const values = { name: file.name, number: MOST_MEBIBYTES };
  if (file.size > MOST_MEBIBYTES * 2 ** 20) {
    return say("“{name}” is not imported: it is larger than {number} MiB.", values);
  }
  try {
    return records.parseFile(await file.text());
  } catch (error) {
    return error instanceof records.NewerFile
      ? say("“{name}” is not imported: it was exported by a newer version of this page.", values)
      : say("“{name}” is not imported: it is neither JSON nor Markdown that was exported here.", values);
  }
}

/** @type {Actions} */
const actions = {
  readAll,
  pixelsOf,
  currentId: () => currentId,
  open,
  async rename(record, title) {
    const given = records.oneLine(title) || null;
    await store.update(record.id, (stored) => (stored ? { ...stored, title: given } : null));
    await drawEverywhere();
    const renamed = await store.get(record.id);
    if (renamed) list.announce(say("Renamed to “{title}”.", { title: records.titleOf(renamed) }));
  },
  async remove(record) {
    if (record.id === currentId) await open(null);
    await pixelsOf([record]); // for Undo
    const removed = await store.update(record.id, () => null);
    revisions.delete(record.id);
    if (removed) announceRemoved(removed);
    await drawEverywhere();
  },
  async importFiles(files) {
    const imported = [];
    for (const file of files) {
      const found = await recordsOf(file);
      if (typeof found === "string") return list.announce(found);
      imported.push(...found);
    }
    for (const record of imported) await store.update(record.id, () => record);
    if (imported.length === 1) await open(imported[0].id);
    list.announce(say("Conversations imported: {number}.", { number: imported.length }));
    await drawEverywhere();
  },
  async share(record) {
    const link = await linkTo(record, location.href);
    const about = say(
      "It holds the texts, without pictures and other versions. Whoever has it can read them; no server does.",
    );
    const tooLong = say("This conversation is too long for a link: export it instead.");
    const contents = link ? [element("p", {}, about), section(say("Link"), link)] : [element("p", {}, tooLong)];
    showSheet(say("Link to “{title}”", { title: records.titleOf(record) }), ...contents);
  },
  async exportAll() {
    const all = await readAll();
    const text = records.toJsonFile(all, await pixelsOf(all), await store.aside());
    download(`${say("Conversations")}.json`, text, "application/json");
  },
};
