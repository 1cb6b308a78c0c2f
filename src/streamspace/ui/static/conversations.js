// The conversations of this browser: saved as they go on, shown again after a reload, and listed above the chat.

/** @import { Content, ConversationRecord, Message, Note } from "./conversation_records.js" */
/** @import { Store } from "./conversation_store.js" */
import { isBusy, isCleared } from "./chat.js";
import { ConversationList } from "./conversation_list.js";
import {
  isNewer,
  isRecord,
  NewerFile,
  oneLine,
  pageValues,
  parseFile,
  randomId,
  titleOf,
  toJsonFile,
  VERSION,
} from "./conversation_records.js";
import { DATABASE, memoryStore, openStore, rememberedId, rememberId } from "./conversation_store.js";
import { download, find } from "./dom.js";
import { say } from "./language.js";

const LOOK_MS = 250; // how often an answer under way is saved
const STOP_MS = 3000; // how long a stopped answer may take to end
const MOST_MEBIBYTES = 64; // of an imported file

/** @type {ConversationList} */
let list;
/** @type {Store} there once the page is */
let store;
/** @type {BroadcastChannel | undefined} */
let otherTabs;
let currentId = randomId(); // of the conversation that this tab shows
let saving = Promise.resolve(); // one save after the other
/** @type {Map<string, string>} id → the revision that this tab knows */
const revisions = new Map();
/** @type {Map<string, string>} id that the page still has → the copy that this tab went on with */
const copies = new Map();
let whenSaved = () => {};
/** @type {{ id: string, content: Content } | null} the last full save, if a turn was under way then */
let turn = null;
let newSystemPrompt = ""; // that a new chat begins with
/** @type {ConversationRecord | null} what `show` is to show; null is a new chat */
let next = null;

/** All readable records, the latest first; what cannot be read is set aside. */
async function readAll() {
  const all = await store.all();
  const damaged = all.filter((record) => !isRecord(record) && !isNewer(record));
  if (damaged.length) {
    await store.setAside(damaged);
    const number = damaged.length;
    list.announce(
      say("Damaged conversations, set aside: {number}; “Export all” has what is left of them.", { number }),
    );
  } else if (all.some(isNewer)) announceNewer();
  return all.filter(isRecord).sort((a, b) => b.updated - a.updated);
}

const announceNewer = () =>
  list.announce(say("The conversations in this browser are of a newer version of this page: they stay as they are."));

const announceBlocked = () =>
  list.announce(
    say("This browser keeps nothing for this page (blocked storage or private mode): conversations end with it."),
  );

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

/** What Gradio hands out may be a proxy. @param {Message[] | null} messages @returns {Message[]} */
const plain = (messages) => JSON.parse(JSON.stringify(messages ?? []));

/**
 * A note's words and whether it offers Continue; parsed in a document that runs nothing.
 * @param {string | null} html @returns {Note}
 */
function noteOf(html) {
  const { body } = new DOMParser().parseFromString(html ?? "", "text/html");
  return { text: body.textContent ?? "", cut: body.querySelector(".cut") !== null };
}

/**
 * Save what the page shows; the values of its components come together, so that none goes to another's record.
 * @param {string | null} id @param {Message[] | null} messages @param {Message[] | null} live
 * @param {string | null} note @param {string | null} systemPrompt
 */
export async function save(id, messages, live, note, systemPrompt) {
  if (!store) return;
  const isBeingCleared = isBusy() && isCleared();
  const content = {
    messages: isBeingCleared ? [] : plain(messages),
    live: isBeingCleared ? [] : plain(live),
    note: noteOf(note),
    system: systemPrompt ?? "",
  };
  turn = content.live.length ? { id: id || currentId, content } : null;
  await enqueue(id || currentId, content);
  if (!isBusy() && !turn) whenSaved();
}

/**
 * Save how far the answer under way has come: the rest of the page stays as it is, and costs nothing.
 * @param {string | null} id @param {Message[] | null} live
 */
export async function saveTurn(id, live) {
  if (turn?.id !== (id || currentId) || isCleared()) return;
  await enqueue(turn.id, { ...turn.content, live: plain(live) });
}

/** @param {string} id @param {Content} content */
async function enqueue(id, content) {
  saving = saving.then(() => write(copies.get(id) ?? id, content)).catch((error) => list.announceFailure(error));
  await saving;
}

/** @param {string} id @param {Content} content @returns {Promise<void>} */
async function write(id, content) {
  const isEmpty = !content.messages.length && !content.live.length;
  const revision = randomId();
  const known = revisions.get(id);
  const before = await store.update(id, (stored) => {
    if (stored && stored.revision !== known) return stored;
    const title = stored?.title ?? null;
    return isEmpty ? null : { ...content, version: VERSION, id, revision, title, updated: Date.now() };
  });
  if (before && before.revision !== known) return writeCopy(id, content, isEmpty);
  list.endFailure();
  if (isEmpty) revisions.delete(id);
  else revisions.set(id, revision);
  if (isEmpty && before && isCleared()) announceRemoved(before);
  if (!before !== isEmpty || !content.live.length) await drawEverywhere();
}

/**
 * Go on with a copy of a conversation that went on in another tab.
 * @param {string} id @param {Content} content @param {boolean} isEmpty
 */
function writeCopy(id, content, isEmpty) {
  const copy = randomId();
  for (const [shown, target] of [...copies, [id, id]]) if (target === id) copies.set(shown, copy);
  if (currentId === id) setCurrent(copy);
  if (!isEmpty) {
    list.announce(say("This conversation went on in another tab; what is written here goes on in a copy."));
  }
  return write(copy, content);
}

/** The values by which the page shows the conversation that was opened. @param {string | null} box */
export function show(box) {
  if (!next) {
    setCurrent(randomId());
    return [currentId, [], [], "", newSystemPrompt, undefined];
  }
  revisions.set(next.id, next.revision);
  copies.delete(next.id);
  setCurrent(next.id);
  return pageValues(next, box);
}

/**
 * Show this conversation, null for a new one. An answer under way is stopped, and kept as far as it came.
 * @param {string | null} id
 */
async function open(id) {
  if (isBusy()) {
    /** @type {Promise<void>} */
    const saved = new Promise((resolve) => {
      whenSaved = resolve;
    });
    find("#stop").click();
    await Promise.race([saved, new Promise((resolve) => setTimeout(resolve, STOP_MS))]);
  }
  await saving;
  next = (id && (await store.get(id))) || null;
  find("#open").click(); // the hidden button, whose event calls `show`
  await list.draw();
}

/**
 * When the page is there: what this tab showed before a reload is shown again.
 * @param {string | null} systemPrompt @param {string | null} box
 */
export async function begin(systemPrompt, box) {
  newSystemPrompt = systemPrompt ?? "";
  list = new ConversationList({ readAll, currentId: () => currentId, open, rename, remove, importFiles, exportAll });
  try {
    const kept = await openStore();
    otherTabs = new BroadcastChannel(DATABASE);
    otherTabs.onmessage = () => list.draw();
    store = kept;
  } catch (error) {
    store = memoryStore();
    if (error instanceof Error && error.name === "VersionError") announceNewer();
    else announceBlocked();
  }
  saveNowAndThen();
  try {
    const id = rememberedId();
    next = (await readAll()).find((record) => record.id === id) ?? null;
  } catch (error) {
    list.announceFailure(error);
  }
  if (next && !isBusy()) return show(box);
  setCurrent(currentId);
  return [currentId]; // and nothing else: the visitor may have begun already
}

/** Save an answer under way now and then. Its first save has everything, the others what came since. */
function saveNowAndThen() {
  /** @type {number | undefined} */
  let timer;
  const look = () => {
    clearInterval(timer);
    turn = null;
    // Hidden buttons, whose events call `saveTurn` and `save`.
    if (isBusy()) timer = window.setInterval(() => find(turn ? "#keep-live" : "#keep").click(), LOOK_MS);
  };
  new MutationObserver(look).observe(find("#compose"), { attributeFilter: ["class"] });
  look(); // the visitor may have asked already
}

// ---- What the list does

/** @param {ConversationRecord} record @param {string} title */
async function rename(record, title) {
  await store.update(record.id, (stored) => (stored ? { ...stored, title: oneLine(title) || null } : null));
  await drawEverywhere();
  const renamed = await store.get(record.id);
  if (renamed) list.announce(say("Renamed to “{title}”.", { title: titleOf(renamed) }));
}

/** @param {ConversationRecord} record */
async function remove(record) {
  if (record.id === currentId) await open(null);
  const removed = await store.update(record.id, () => null);
  revisions.delete(record.id);
  if (removed) announceRemoved(removed);
  await drawEverywhere();
}

/** @param {ConversationRecord} record */
function announceRemoved(record) {
  const title = titleOf(record);
  const undo = async () => {
    const restored = { ...record, id: randomId() };
    await store.update(restored.id, () => restored);
    if (!(await store.get(currentId))) await open(restored.id);
    list.announce(say("“{title}” is back.", { title }));
    await drawEverywhere();
  };
  list.announce(say("Deleted “{title}”.", { title }), { undo });
}

/** @param {FileList} files */
async function importFiles(files) {
  /** @type {ConversationRecord[]} */
  const records = [];
  for (const file of files) {
    const { name } = file;
    if (file.size > MOST_MEBIBYTES * 2 ** 20) {
      const values = { name, number: MOST_MEBIBYTES };
      return list.announce(say("“{name}” is not imported: it is larger than {number} MiB.", values));
    }
    try {
      records.push(...parseFile(await file.text()));
    } catch (error) {
      return list.announce(
        error instanceof NewerFile
          ? say("“{name}” is not imported: it was exported by a newer version of this page.", { name })
          : say("“{name}” is not imported: it is neither JSON nor Markdown that was exported here.", { name }),
      );
    }
  }
  for (const record of records) await store.update(record.id, () => record);
  if (records.length === 1) await open(records[0].id);
  list.announce(say("Conversations imported: {number}.", { number: records.length }));
  await drawEverywhere();
}

async function exportAll() {
  const text = toJsonFile(await readAll(), await store.aside());
  download(`${say("Conversations")}.json`, text, "application/json");
}
