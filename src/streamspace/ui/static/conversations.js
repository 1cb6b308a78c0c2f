// The conversations of this browser: kept in its IndexedDB, listed above the chat, and never sent anywhere.
//
// A record of the store is one conversation:
//   {version, id, revision, title, updated, system, note: {text, cut}, messages, live}
// `messages` and `live` are the values of the two Chatbots: `live` is the turn under way, so a record that has one when
// it is opened was interrupted. `revision` changes with each save: a tab that finds another one than it knows goes on
// with a copy, so that two tabs never overwrite each other. `title` is null until the visitor gives one.

const WORDS = {
  conversations: "Conversations",
  newChat: "New chat",
  search: "Search titles and texts",
  list: "Kept conversations",
  none: "None yet: a conversation is kept here, in this browser alone, from its first question on.",
  nothingFound: "Nothing found.",
  found: "{number} found.",
  interrupted: "{when}, interrupted",
  actions: "Actions for “{title}”",
  rename: "Rename",
  newTitle: "New title for “{title}”",
  remove: "Delete",
  exportMarkdown: "Export Markdown",
  exportJson: "Export JSON",
  exportAll: "Export all",
  import: "Import",
  undo: "Undo",
  opened: "Opened “{title}”.",
  renamed: "Renamed to “{title}”.",
  removed: "Deleted “{title}”.",
  restored: "“{title}” is back.",
  imported: "Conversations imported: {number}.",
  untitled: "Conversation",
  system: "System prompt",
  user: "You",
  assistant: "Assistant",
  thought: "Thought",
  interruptedAnswer: "Interrupted by a reload; Continue takes it up again.",
  interruptedQuestion: "Interrupted by a reload before the answer began; the question is back in the box.",
  unansweredQuestion: "Interrupted by a reload before the answer began: copy the question to ask it again.",
  copied: "This conversation went on in another tab; what is written here goes on in a copy.",
  full: "The browser's storage is full, so this conversation is not kept: delete others, or export it.",
  blocked: "This browser keeps nothing for this page (blocked storage or private mode): conversations end with it.",
  newer: "The conversations in this browser are of a newer version of this page: they stay as they are.",
  failed: "This browser could not keep the conversation: export it before you leave.",
  aside: "Damaged conversations, set aside: {number}; “Export all” has what is left of them.",
  badFile: "“{name}” is not imported: it is neither JSON nor Markdown that was exported here.",
  bigFile: "“{name}” is not imported: it is larger than {number} MiB.",
  newerFile: "“{name}” is not imported: it was exported by a newer version of this page.",
};

/** A sentence of WORDS in the visitor's language, with its values. */
const word = (key, values = {}) => say(WORDS[key]).replace(/\{(\w+)\}/g, (_, name) => values[name]);

const VERSION = 1; // of a record and of an exported file
const DATABASE = "streamspace-conversations";
const CURRENT = "streamspace-conversation"; // in the tab's own sessionStorage: which conversation it shows
const FORMAT = "streamspace-conversations";
const LOOK_MS = 250; // how often an answer under way is saved
const STOP_MS = 3000; // how long a stopped answer may take to settle
const TITLE_LENGTH = 60;
const MOST_MEBIBYTES = 64; // of an imported file

const $ = (selector) => document.querySelector(selector);
const fresh = () => [...crypto.getRandomValues(new Uint32Array(4))].map((part) => part.toString(36)).join("");
const plain = (value) => JSON.parse(JSON.stringify(value ?? null)); // what Gradio hands out may be a proxy

// ---- Texts

const textOf = (message) => fromMarkdown(message.content.map((part) => part.text).join(""));
const isBegun = (message) => message.role === "assistant" && textOf(message) !== ""; // an answer or its thought
const wholeOf = (record) => [...record.messages, ...record.live];

/** The visitor's own title, or the first question, cut at a word. */
function titleOf(record) {
  if (record.title) return record.title;
  const question = wholeOf(record).find((message) => message.role === "user");
  const characters = [...(question ? textOf(question) : "").replace(/\s+/g, " ").trim()];
  if (characters.length <= TITLE_LENGTH) return characters.join("") || word("untitled");
  const cut = characters.slice(0, TITLE_LENGTH).join("");
  return `${cut.lastIndexOf(" ") > TITLE_LENGTH / 2 ? cut.slice(0, cut.lastIndexOf(" ")) : cut}…`;
}

// ---- The store

const isText = (value) => typeof value === "string";
const isMetadata = (value) => value == null || (typeof value === "object" && isText(value.title ?? ""));
const isMessage = (value) =>
  ["user", "assistant"].includes(value?.role) &&
  Array.isArray(value.content) &&
  value.content.every((part) => part?.type === "text" && isText(part.text)) &&
  isMetadata(value.metadata);
const isRecord = (value) =>
  value?.version === VERSION &&
  [value.id, value.revision, value.system, value.note?.text].every(isText) &&
  (value.title === null || isText(value.title)) &&
  Number.isFinite(value.updated) &&
  [value.messages, value.live].every((list) => Array.isArray(list) && list.every(isMessage));

const settled = (request) =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

/** IndexedDB with what is needed of it: `all`, `get`, and `update`, which replaces a record by change(record). */
async function openStore() {
  const opening = indexedDB.open(DATABASE, 1);
  opening.onupgradeneeded = () => {
    opening.result.createObjectStore("records", { keyPath: "id" });
    opening.result.createObjectStore("aside", { autoIncrement: true });
  };
  const database = await settled(opening);
  database.onversionchange = () => database.close();
  const transact = (work) =>
    new Promise((resolve, reject) => {
      const transaction = database.transaction(["records", "aside"], "readwrite");
      transaction.oncomplete = () => resolve();
      transaction.onabort = () => reject(transaction.error ?? new Error("aborted"));
      work(transaction.objectStore("records"), transaction.objectStore("aside"));
    });
  return {
    all: (name = "records") => settled(database.transaction(name).objectStore(name).getAll()),
    get: (id) => settled(database.transaction("records").objectStore("records").get(id)),
    update: (id, change) =>
      transact((records) => {
        records.get(id).onsuccess = ({ target }) => {
          const next = change(target.result);
          if (next) records.put(next);
          else records.delete(id);
        };
      }),
    setAside: (damaged) =>
      transact((records, aside) => {
        for (const record of damaged) {
          aside.add(record);
          records.delete(record.id);
        }
      }),
  };
}

/** The same for as long as the page is open, where the browser keeps nothing. */
function memoryStore() {
  const records = new Map();
  return {
    all: async (name = "records") => (name === "records" ? [...records.values()] : []),
    get: async (id) => records.get(id),
    update: async (id, change) => {
      const next = change(records.get(id));
      if (next) records.set(id, next);
      else records.delete(id);
    },
  };
}

let store;
let others; // the other tabs
let current = fresh(); // the conversation that this tab shows
let saving = Promise.resolve(); // one save after the other
const revisions = new Map(); // id → the revision that this tab knows
const copies = new Map(); // id that the page still has → the copy that this tab went on with

/** All readable records, the latest first; what cannot be read is set aside. */
async function readAll() {
  const found = await store.all();
  const damaged = found.filter((record) => !isRecord(record) && !(record?.version > VERSION));
  if (damaged.length) {
    await store.setAside(damaged);
    tell(word("aside", { number: damaged.length }));
  } else if (found.some((record) => record?.version > VERSION)) tell(word("newer"));
  return found.filter(isRecord).sort((a, b) => b.updated - a.updated);
}

let hasFailed = false; // whether the sentence that is shown tells of it

function failed(error) {
  console.warn("Conversations:", error);
  tell(error?.name === "QuotaExceededError" ? word("full") : word("failed"));
  hasFailed = true;
}

/** The tab's own storage, which a reload leaves alone; null where it is blocked. */
function inTab(work) {
  try {
    return work(sessionStorage);
  } catch {
    return null;
  }
}

/** Remember across a reload what this tab shows. */
function remember(id) {
  current = id;
  inTab((storage) => storage.setItem(CURRENT, id));
}

function changed() {
  others?.postMessage("changed");
  return list();
}

// ---- What the page calls

const isBusy = () => $("#compose").classList.contains("busy");
const isCleared = () => $("#compose").classList.contains("cleared");
let whenKept = () => {};
let turn = null; // id and content at the last save of all, if a turn was under way then

/** Save what the page shows; the values of its components come together, so that none goes to another's record. */
async function keep(id, messages, live, note, system) {
  const isBeingCleared = isBusy() && isCleared();
  const content = {
    messages: isBeingCleared ? [] : plain(messages ?? []),
    live: isBeingCleared ? [] : plain(live ?? []),
    note: noteOf(note ?? ""),
    system: system ?? "",
  };
  turn = content.live.length ? { id: id || current, content } : null;
  await saveNext(id || current, content);
  if (!isBusy() && !turn) whenKept();
}

/** Save how far the answer under way has come: the rest of the page stays as it is, and costs nothing. */
async function keepLive(id, live) {
  if (turn?.id !== (id || current) || isCleared()) return;
  await saveNext(turn.id, { ...turn.content, live: plain(live ?? []) });
}

async function saveNext(id, content) {
  saving = saving.then(() => save(copies.get(id) ?? id, content)).catch(failed);
  await saving;
}

async function save(id, content) {
  const isEmpty = !content.messages.length && !content.live.length;
  const revision = fresh();
  let before, isOthers;
  await store.update(id, (stored) => {
    before = stored;
    isOthers = stored !== undefined && stored.revision !== revisions.get(id);
    if (isOthers) return stored;
    const title = stored?.title ?? null;
    return isEmpty ? null : { ...content, version: VERSION, id, revision, title, updated: Date.now() };
  });
  if (isOthers) {
    const copy = fresh();
    for (const [shown, target] of [...copies, [id, id]]) if (target === id) copies.set(shown, copy);
    if (current === id) remember(copy);
    if (!isEmpty) tell(word("copied"));
    return save(copy, content);
  }
  if (hasFailed) tell("");
  if (isEmpty) revisions.delete(id);
  else revisions.set(id, revision);
  if (isEmpty && before && isCleared()) sayRemoved(before);
  if (!before !== isEmpty || !content.live.length) await changed();
}

/** A note's words and whether it offers Continue; parsed in a document that runs nothing. */
function noteOf(html) {
  const { body } = new DOMParser().parseFromString(html, "text/html");
  return { text: body.textContent, cut: body.querySelector(".cut") !== null };
}

function noteHtml({ text, cut }) {
  const line = document.createElement("span");
  line.textContent = text;
  if (cut) line.className = "cut";
  return text && line.outerHTML;
}

/** A message whose thought, if it is one, goes on no more. */
const thought = (message) =>
  message.metadata?.title
    ? { ...message, metadata: { ...message.metadata, title: word("thought"), status: "done" } }
    : message;

/** A record as values of the page's components: id, settled, live, note, system prompt, box. */
function shown(record, box) {
  revisions.set(record.id, record.revision);
  copies.delete(record.id);
  remember(record.id);
  const { messages, live } = record;
  if (!live.length) return [record.id, messages, [], noteHtml(record.note), record.system, undefined];
  if (live.some(isBegun)) {
    const note = noteHtml({ text: word("interruptedAnswer"), cut: true });
    return [record.id, [...messages, ...live.map(thought)], [], note, record.system, undefined];
  }
  const question = textOf(live[0]);
  const isTyped = Boolean(box) && box !== question;
  const note = { text: isTyped ? word("unansweredQuestion") : word("interruptedQuestion") };
  return isTyped
    ? [record.id, [...messages, live[0]], [], noteHtml(note), record.system, undefined]
    : [record.id, messages, [], noteHtml(note), record.system, question];
}

let systemPrompt; // that a new chat begins with
let next = null; // the record that `opened` is to show; null is a new chat

/** What #open, the button that nobody sees, has the page show. */
function opened(box) {
  if (next) return shown(next, box);
  remember(fresh());
  return [current, [], [], "", systemPrompt, undefined];
}

/** Show this conversation, null for a new one. An answer under way is stopped, and kept as far as it came. */
async function open(id) {
  if (isBusy()) {
    const kept = new Promise((resolve) => (whenKept = resolve));
    $("#stop").click();
    await Promise.race([kept, new Promise((resolve) => setTimeout(resolve, STOP_MS))]);
  }
  await saving;
  next = (id && (await store.get(id))) ?? null;
  $("#open").click();
  await list();
}

/** When the page is there: what this tab showed before a reload is shown again. */
async function begin(givenSystemPrompt, box) {
  systemPrompt = givenSystemPrompt ?? "";
  layOut();
  try {
    store = await openStore();
    others = new BroadcastChannel(DATABASE);
    others.onmessage = () => list();
  } catch (error) {
    store = memoryStore();
    tell(error?.name === "VersionError" ? word("newer") : word("blocked"));
  }
  window.conversations = { keep, keepLive, opened };
  follow();
  try {
    const id = inTab((storage) => storage.getItem(CURRENT));
    next = (await readAll()).find((record) => record.id === id) ?? null;
  } catch (error) {
    failed(error);
  }
  if (next && !isBusy()) return opened(box);
  remember(current);
  return [current]; // and nothing else: the visitor may have begun already
}

/** Save an answer under way now and then. Its first save has all, the others what came since. */
function follow() {
  let looking;
  const look = () => {
    clearInterval(looking);
    turn = null;
    if (isBusy()) looking = setInterval(() => $(turn ? "#keep-live" : "#keep").click(), LOOK_MS);
  };
  new MutationObserver(look).observe($("#compose"), { attributeFilter: ["class"] });
  look(); // the visitor may have asked already
}

// ---- Changes by the list

async function rename(record, title) {
  await store.update(record.id, (stored) => stored && { ...stored, title: title.replace(/\s+/g, " ").trim() || null });
  await changed();
  const renamed = await store.get(record.id);
  if (renamed) tell(word("renamed", { title: titleOf(renamed) }));
}

async function remove(record) {
  if (record.id === current) await open(null);
  let removed;
  await store.update(record.id, (stored) => void (removed = stored));
  revisions.delete(record.id);
  if (removed) sayRemoved(removed);
  await changed();
}

function sayRemoved(record) {
  tell(word("removed", { title: titleOf(record) }), async () => {
    const restored = { ...record, id: fresh() };
    await store.update(restored.id, () => restored);
    if (!(await store.get(current))) await open(restored.id);
    tell(word("restored", { title: titleOf(record) }));
    await changed();
  });
}

// ---- Files

const bare = ({ metadata, ...message }) => (metadata?.title ? { ...message, metadata } : message);

/** A conversation as it stands in a file: texts as they were written and answered, not as Markdown that shows them. */
const toFile = (record) => ({
  title: titleOf(record),
  updated: new Date(record.updated).toISOString(),
  system_prompt: record.system,
  messages: wholeOf(record).map((message) =>
    bare({ role: message.role, content: textOf(message), metadata: message.metadata }),
  ),
});

/** A record of what stood in a file, checked, and with nothing else of it; null if it is no conversation. */
function fromFile(given) {
  const isGood =
    [given?.title, given?.system_prompt].every(isText) &&
    Array.isArray(given.messages) &&
    given.messages.length > 0 &&
    given.messages.every(
      (message) =>
        ["user", "assistant"].includes(message?.role) && isText(message.content) && isMetadata(message.metadata),
    );
  if (!isGood) return null;
  const updated = Date.parse(given.updated);
  const record = {
    version: VERSION,
    id: fresh(),
    revision: fresh(),
    title: null,
    updated: Number.isFinite(updated) ? updated : Date.now(),
    system: given.system_prompt,
    note: { text: "", cut: false },
    messages: given.messages.map(({ role, content, metadata }) => ({
      role,
      metadata: metadata?.title
        ? { title: toMarkdown(metadata.title), status: "done", duration: Number(metadata.duration) || 0 }
        : null,
      content: [{ type: "text", text: toMarkdown(content) }],
      options: null,
    })),
    live: [],
  };
  const title = given.title.replace(/\s+/g, " ").trim();
  return { ...record, title: title === titleOf(record) ? null : title || null };
}

const toJsonFile = (records, aside = {}) =>
  JSON.stringify({ format: FORMAT, version: VERSION, conversations: records.map(toFile), ...aside }, null, 2);

/** A Markdown file: sections behind comments with a random word that no text can hold, so that it can be read back. */
function toMarkdownFile(record) {
  const { title, updated, system_prompt, messages } = toFile(record);
  const sections = [{ role: "system", content: system_prompt }, ...messages].filter(({ content }) => content);
  const mark = fresh();
  const comment = (word, value) => `<!-- ${word} ${JSON.stringify(value).replaceAll(">", "\\u003e")} -->\n`;
  return [
    comment(FORMAT, { version: VERSION, mark, updated }),
    `# ${toMarkdown(title)}\n`,
    ...sections.map(
      ({ content, ...section }) =>
        `\n${comment(mark, section)}## ${word(section.role)}\n\n${toMarkdown(content)}\n`,
    ),
  ].join("");
}

class NewerFile extends Error {}

/** The conversations of a file's text, as `toFile` made them; throws what JSON.parse does, or NewerFile. */
function parseFile(text) {
  const head = new RegExp(`^<!-- ${FORMAT} (\\{[^\n]*\\}) -->(\r?)\n# ([^\n]*)\n`).exec(text);
  const file = JSON.parse(head ? head[1] : text);
  if (file?.version > VERSION) throw new NewerFile();
  if (!head) return file?.format === FORMAT ? file.conversations : null;
  const [, ...sections] = (head[2] ? text.replaceAll("\r\n", "\n") : text).split(`\n<!-- ${file.mark} `);
  const messages = sections.map((section) => {
    const [, about, content] = /^(\{[^\n]*\}) -->\n## [^\n]*\n\n([^]*?)\n?$/.exec(section);
    return { ...JSON.parse(about), content: fromMarkdown(content) };
  });
  return [
    {
      title: fromMarkdown(head[3].trim()),
      updated: file.updated,
      system_prompt: messages.filter(({ role }) => role === "system").map(({ content }) => content).join(""),
      messages: messages.filter(({ role }) => role !== "system"),
    },
  ];
}

async function importFiles(files) {
  const records = [];
  for (const file of files) {
    if (file.size > MOST_MEBIBYTES * 2 ** 20) return tell(word("bigFile", { name: file.name, number: MOST_MEBIBYTES }));
    try {
      const found = parseFile(await file.text()).map(fromFile);
      if (!found.length || found.includes(null)) return tell(word("badFile", { name: file.name }));
      records.push(...found);
    } catch (error) {
      return tell(word(error instanceof NewerFile ? "newerFile" : "badFile", { name: file.name }));
    }
  }
  for (const record of records) await store.update(record.id, () => record);
  if (records.length === 1) await open(records[0].id);
  tell(word("imported", { number: records.length }));
  await changed();
}

function download(name, text, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name.replace(/[\\/:*?"<>|\x00-\x1f]/g, " ").trim();
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

async function exportAll() {
  const records = await readAll();
  const aside = await store.all("aside");
  download(`${word("conversations")}.json`, toJsonFile(records, aside.length ? { aside } : {}), "application/json");
}

// ---- The list; all text goes in as text

let said, undoing, panel, toggle, search, rows, empty;
let menu = null; // id of the record whose actions are shown

function element(name, properties, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key in made) made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

const button = (text, onclick, properties = {}) =>
  element("button", { type: "button", textContent: text, onclick: () => attempt(onclick), ...properties });

async function attempt(work) {
  try {
    await work();
  } catch (error) {
    failed(error);
  }
}

/** One sentence below the bar, for screen readers alone unless `isSeen`, and how to undo what it tells. */
function tell(sentence, undo, isSeen = true) {
  hasFailed = false;
  said.className = isSeen ? "" : "unseen";
  said.textContent = sentence;
  undoing.replaceChildren(...(undo ? [button(word("undo"), undo)] : []));
}

function layOut() {
  said = element("span", { role: "status" });
  undoing = element("span", {});
  toggle = button(word("conversations"), () => unfold(panel.hidden), { className: "toggle", "aria-expanded": "false" });
  toggle.setAttribute("aria-controls", "conversation-list");
  search = element("input", { type: "search", placeholder: word("search"), "aria-label": word("search") });
  search.oninput = () => attempt(() => list(true));
  rows = element("ul", { "aria-label": word("list") });
  empty = element("p", {});
  const file = element("input", { type: "file", accept: ".json,.md", multiple: true, hidden: true });
  file.onchange = async () => {
    await attempt(() => importFiles(file.files));
    file.value = ""; // so that the same file can be chosen again
  };
  const foot = element(
    "div", { className: "row" },
    button(word("import"), () => file.click()), button(word("exportAll"), exportAll), file,
  );
  panel = element("div", { id: "conversation-list", hidden: true }, search, rows, empty, foot);
  const bar = element("div", { className: "row" }, toggle, button(word("newChat"), () => begun(null)));
  $("#conversations").replaceChildren(bar, element("p", { className: "said" }, said, " ", undoing), panel);
}

async function unfold(isOpen) {
  panel.hidden = !isOpen;
  toggle.setAttribute("aria-expanded", String(isOpen));
  if (isOpen) await list();
}

/** Open by the visitor's hand: the list folds, and the keyboard goes to where it is wanted next. */
async function begun(record) {
  await open(record && record.id);
  await unfold(false);
  tell(record ? word("opened", { title: titleOf(record) }) : "", null, false);
  if (record) toggle.focus();
  else $("#message textarea").focus();
}

const matches = (record, words) =>
  [titleOf(record), record.system, ...wholeOf(record).map(textOf)].some((text) => text.toLowerCase().includes(words));

/** Draw the rows anew, unless nobody sees them or a title is being typed into one. */
async function list(isSearch = false) {
  if (panel.hidden || rows.querySelector("input")) return;
  const words = search.value.trim().toLowerCase();
  const kept = await readAll();
  const found = words ? kept.filter((record) => matches(record, words)) : kept;
  const { of, does } = document.activeElement?.dataset ?? {};
  rows.replaceChildren(...found.map(row));
  empty.textContent = kept.length ? (found.length ? "" : word("nothingFound")) : word("none");
  if (isSearch) tell(words ? word("found", { number: found.length }) : "");
  if (of) rows.querySelector(`[data-of="${CSS.escape(of)}"][data-does="${does}"]`)?.focus();
}

function row(record) {
  const title = titleOf(record);
  const style = new Date(record.updated).toDateString() === new Date().toDateString() ? "timeStyle" : "dateStyle";
  const when = new Intl.DateTimeFormat(undefined, { [style]: "short" }).format(record.updated);
  const act = (does, text, work, properties) => {
    const made = button(text, work, properties);
    Object.assign(made.dataset, { of: record.id, does });
    return made;
  };
  const name = act("open", title, () => begun(record), { className: "name", title });
  if (record.id === current) name.setAttribute("aria-current", "true");
  const more = act("menu", "⋯", () => choose(menu === record.id ? null : record.id), {
    "aria-label": word("actions", { title }),
    "aria-expanded": String(menu === record.id),
  });
  const details = record.live.length && record.id !== current ? word("interrupted", { when }) : when;
  const made = element("li", {}, name, element("small", { textContent: details }), more);
  if (menu === record.id) {
    made.append(
      element(
        "div", { className: "row" },
        act("rename", word("rename"), () => edit(record, made, name)),
        act("markdown", word("exportMarkdown"), () => download(`${title}.md`, toMarkdownFile(record), "text/markdown")),
        act("json", word("exportJson"), () => download(`${title}.json`, toJsonFile([record]), "application/json")),
        act("remove", word("remove"), () => removed(record)),
      ),
    );
  }
  return made;
}

async function choose(id) {
  menu = id;
  await list();
}

/** Have a new title typed in the place of the old one: Enter and leaving the field take it, Escape does not. */
function edit(record, place, name) {
  const field = element("input", { value: titleOf(record), maxLength: 200 });
  field.setAttribute("aria-label", word("newTitle", { title: titleOf(record) }));
  const leave = async (isTaken) => {
    if (!field.isConnected) return;
    const title = field.value;
    field.onblur = null;
    field.replaceWith(name);
    menu = null;
    if (isTaken && title !== titleOf(record)) await rename(record, title);
    else await list();
    rows.querySelector(`[data-of="${CSS.escape(record.id)}"][data-does=open]`)?.focus();
  };
  field.onkeydown = ({ key, isComposing }) => {
    if (!isComposing && (key === "Enter" || key === "Escape")) attempt(() => leave(key === "Enter"));
  };
  field.onblur = () => attempt(() => leave(true));
  name.replaceWith(field);
  field.select();
}

async function removed(record) {
  await remove(record);
  undoing.querySelector("button")?.focus();
}
