// What a visitor attaches to a message: pictures, where the model sees, and files of text. They wait above the message
// box until they are sent. Pictures go to the server with the message, which has their ids; files are part of its text.

/** @import { Message } from "./conversation_records.js" */
import { pictureIds, randomId } from "./conversation_records.js";
import { element, find } from "./dom.js";
import { tabOf } from "./gradio_dom.js";
import { say } from "./language.js";
import { readPdf } from "./pdf.js";
import { read, remember, urlOf, urlsOf } from "./pictures.js";
import { decode, freeName, LONG_PASTE, MOST_BYTES, plainName, putBack, withFiles } from "./text_files.js";
import { TypedTokens } from "./typed_tokens.js";

/** @typedef {{ name: string, id: string, text?: undefined }} Picture
 * @typedef {{ name: string, text: string, id?: undefined }} Text
 * @typedef {Picture | Text} Attached
 *
 * What the server gets of pictures: the ids of the attached ones, and the pixels of all of the conversation.
 * @typedef {{ ids: string[], urls: Record<string, string> }} Pictures */

const PICTURE_NAME = /\.(?:avif|bmp|gif|heic|heif|jpe?g|png|svg|tiff?|webp)$/i;
const TEXT_TYPES =
  "text/*,.pdf,.csv,.json,.jsonl,.md,.log,.py,.js,.ts,.c,.cpp,.h,.java,.go,.rs,.rb,.sh,.sql,.toml,.yaml,.yml";
const MOST_CHARACTERS_A_TOKEN = 16; // no text has so many, but for long runs of one character
const MOST_CHARACTERS = 15 * 2 ** 20; // of all pictures of a request: the server takes 16 MiB
const CLIP = "M8 12.5 14.6 6a3 3 0 0 1 4.2 4.2l-8.5 8.5a5 5 0 0 1-7-7L11.5 3.5";

/** What the model sees, as the server says: how many pictures a message may have, and its context in tokens. */
const sight = () => {
  /** @type {HTMLElement | null} */
  const said = document.querySelector("#sees i");
  return { most: Number(said?.dataset.pictures ?? 0), context: Number(said?.dataset.context ?? 0) };
};

/** @param {File} file */
const isPicture = ({ name, type }) => type.startsWith("image/") || PICTURE_NAME.test(name);

/** Show something large until the visitor closes it. @param {string} name @param {HTMLElement} content */
function showLarge(name, content) {
  const close = element("button", { type: "button", textContent: say("Close"), onclick: () => dialog.close() });
  const dialog = element("dialog", { className: "large", "aria-label": name }, content, close);
  dialog.onclick = ({ target }) => {
    if (target === dialog) dialog.close();
  };
  dialog.onclose = () => dialog.remove();
  document.body.append(dialog);
  dialog.showModal();
}

/** A small picture that a click shows large. @param {string} id @param {string} name */
function thumbnail(id, name) {
  const url = urlOf(id);
  if (!url) return element("span", { className: "gone", textContent: say("A picture that this browser has no more") });
  const onclick = (/** @type {Event} */ event) => {
    event.stopPropagation();
    showLarge(name, element("img", { src: url, alt: name }));
  };
  const label = say("Show “{name}” large", { name });
  return element("button", { type: "button", "aria-label": label, onclick }, element("img", { src: url, alt: "" }));
}

/** Draw the pictures of a message in its bubble. Gradio's script calls it, see ui/gradio_/drawing.py.
 * @param {HTMLElement} bubble @param {{ pictures?: string[] } | null} metadata */
export function draw(bubble, metadata) {
  const pictures = metadata?.pictures ?? [];
  /** @type {HTMLElement | null} */
  const drawn = bubble.querySelector(":scope > .pictures");
  if ((drawn?.dataset.ids ?? "") === pictures.join(" ")) return; // with each frame
  drawn?.remove();
  const name = (/** @type {number} */ index) => say("Picture {number}", { number: index + 1 });
  const thumbnails = pictures.map((id, index) => thumbnail(id, name(index)));
  const all = element("div", { className: "pictures" }, ...thumbnails);
  all.dataset.ids = pictures.join(" ");
  if (pictures.length) bubble.prepend(all);
}

/** What is attached to the message of one box. */
class Tray {
  /** @param {string} compose selector of the row with the message box */
  constructor(compose) {
    /** @type {Attached[]} */
    this.items = [];
    /** The files that are read, one after the other. */
    this.work = Promise.resolve();
    this.selector = compose;
    this.compose = find(compose);
    /** @type {Element | null} */
    this.panel = null;
    this.list = element("ul", { "aria-label": say("Attached") });
    this.sentence = element("p", { role: "status" });
    this.tokens = new TypedTokens(() => withFiles(this.typed(), this.files()), compose === "#compose");
    this.input = element("input", { type: "file", multiple: true, hidden: true });
    this.input.onchange = () => {
      this.add([...(this.input.files ?? [])]);
      this.input.value = ""; // so that the same file can be chosen again
    };
    this.mount();
  }

  /** Put it where it belongs: Gradio draws a tab anew when it is opened first. */
  mount() {
    if (this.list.isConnected) return;
    this.compose = find(this.selector);
    const panel = tabOf(this.compose);
    find(".attached", panel).replaceChildren(this.list, this.sentence, this.tokens.line);
    find(".attach", this.compose).replaceChildren(this.button(), this.input);
    if (panel !== this.panel) {
      panel.addEventListener("paste", (event) => this.paste(event));
      panel.addEventListener("dragover", (event) => this.drag(event));
      panel.addEventListener("dragleave", () => this.compose.classList.remove("dropping"));
      panel.addEventListener("drop", (event) => this.drop(event));
    }
    this.panel = panel;
    this.draw();
  }

  button() {
    const clip = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    clip.innerHTML = `<path d="${CLIP}" fill="none" stroke="currentColor" stroke-width="1.6" stroke-linecap="round"/>`;
    clip.setAttribute("viewBox", "0 0 22 22");
    const button = element("button", { type: "button" });
    button.append(clip);
    const label = () => (sight().most ? say("Attach pictures or text files") : say("Attach text files"));
    const name = () => Object.assign(button, { title: label(), ariaLabel: label() });
    button.onpointerenter = button.onfocus = name;
    button.onclick = () => {
      this.input.accept = sight().most ? `image/*,${TEXT_TYPES}` : TEXT_TYPES;
      this.input.click();
    };
    return name();
  }

  /** @param {ClipboardEvent} event */
  paste(event) {
    const files = [...(event.clipboardData?.files ?? [])];
    const text = event.clipboardData?.getData("text/plain") ?? "";
    const isInBox = event.target instanceof HTMLTextAreaElement && this.compose.contains(event.target);
    if (files.length && !text) this.add(files);
    else if (isInBox && text.length > LONG_PASTE) this.add([new File([text], `${say("pasted text")}.txt`)]);
    else return;
    event.preventDefault();
  }

  /** @param {DragEvent} event */
  drag(event) {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    this.compose.classList.add("dropping");
  }

  /** @param {DragEvent} event */
  drop(event) {
    this.compose.classList.remove("dropping");
    const files = [...(event.dataTransfer?.files ?? [])];
    if (!files.length) return;
    event.preventDefault();
    this.add(files);
  }

  /** Attach files; what cannot be attached is said by name. @param {File[]} files */
  add(files) {
    this.sentence.textContent = say("Reading …");
    this.work = this.work.then(async () => {
      const refused = [];
      for (const file of files) refused.push(await this.addOne(file).catch(() => unreadable(file)));
      this.sentence.textContent = refused.filter(Boolean).join(" ");
      this.draw();
    });
    return this.work;
  }

  /** Attach a file, or say why it is not attached. @param {File} file */
  async addOne(file) {
    const others = this.items.map(({ name }) => name);
    const name = freeName(plainName(file.name), others);
    const { most } = sight();
    if (isPicture(file) && (most || file.type !== "image/svg+xml")) return this.addPicture(file, name, most);
    if (file.type === "application/pdf" || /\.pdf$/i.test(file.name)) return this.addPdf(file, name, most);
    if (file.size > MOST_BYTES) {
      const number = MOST_BYTES / 2 ** 20;
      return say("“{name}” is not attached: it is larger than {number} MiB.", { name, number });
    }
    const text = decode(new Uint8Array(await file.arrayBuffer()));
    if (text === null) return say("“{name}” is not attached: it is neither a picture nor text in UTF-8.", { name });
    return this.addText(name, text);
  }

  /** @param {File} file @param {string} name @param {number} most */
  async addPicture(file, name, most) {
    if (!most) return say("“{name}” is not attached: it is a picture, and this model reads text alone.", { name });
    if (this.pictures().length >= most) {
      return say("“{name}” is not attached: {number} {number:|picture is|pictures are} the most.", {
        name,
        number: most,
      });
    }
    const url = await read(file);
    if (!url) {
      return say("“{name}” is not attached: this browser cannot read it; JPEG and PNG always work.", { name });
    }
    this.addPixels(name, url);
  }

  /** @param {string} name @param {string} url */
  addPixels(name, url) {
    const id = randomId();
    remember(id, url);
    this.items.push({ name, id });
  }

  /** The text of a PDF; if it has none, its pages, where the model sees.
   * @param {File} file @param {string} name @param {number} most */
  async addPdf(file, name, most) {
    const room = most - this.pictures().length;
    const read = await readPdf(file, room).catch(() => null);
    if (!read) return say("“{name}” is not attached: it is a broken PDF, or one that is locked.", { name });
    const { text, urls, numPages } = read;
    if (text) return this.addText(name, text);
    if (!most) return say("“{name}” is not attached: it has no text, and this model reads text alone.", { name });
    for (const [index, url] of urls.entries()) this.addPixels(`${name} (${index + 1})`, url);
    const values = { name, number: urls.length, pages: numPages };
    if (urls.length < numPages)
      return say("“{name}” has no text: {number} of its {pages} pages {number:|is|are} attached.", values);
  }

  /** @param {string} name @param {string} text */
  addText(name, text) {
    const { context } = sight();
    if (context && text.length > context * MOST_CHARACTERS_A_TOKEN) {
      const values = { name, number: text.length, tokens: context };
      return say("“{name}” is not attached: {number} characters are more than a context of {tokens} tokens.", values);
    }
    this.items.push({ name, text });
  }

  pictures() {
    return this.items.flatMap(({ id }) => id ?? []);
  }

  files() {
    return this.items.flatMap(({ name, text }) => (text === undefined ? [] : { name, text }));
  }

  /** Replace what is attached. @param {Attached[]} items */
  set(items) {
    this.items = items;
    this.sentence.textContent = "";
    this.draw();
  }

  /** @param {Attached} item */
  remove(item) {
    const index = this.items.indexOf(item);
    this.set(this.items.filter((other) => other !== item));
    const next = this.list.querySelectorAll(".remove")[Math.min(index, this.items.length - 1)];
    const box = find("textarea", this.compose);
    (next instanceof HTMLElement ? next : box).focus();
  }

  typed() {
    return this.compose.querySelector("textarea")?.value ?? "";
  }

  draw() {
    this.tokens.later();
    this.list.replaceChildren(...this.items.map((item) => this.row(item)));
    this.list.hidden = !this.items.length;
  }

  /** @param {Attached} item */
  row(item) {
    const { name } = item;
    const label = say("Remove “{name}”", { name });
    const onclick = () => this.remove(item);
    const remove = element("button", { type: "button", className: "remove", textContent: "×", onclick });
    remove.setAttribute("aria-label", label);
    remove.title = label;
    return element("li", {}, item.id === undefined ? file(item) : thumbnail(item.id, name), remove);
  }
}

/** @param {File} file */
const unreadable = ({ name }) => say("“{name}” is not attached: this browser could not read it.", { name });

/** A button with the name of a file, which shows its text large. @param {Text} file */
function file({ name, text }) {
  const onclick = () => showLarge(name, element("pre", { textContent: text, tabIndex: 0 }));
  const label = say("Show “{name}” large", { name });
  return element("button", { type: "button", className: "name", textContent: name, "aria-label": label, onclick });
}

/** @type {Map<string, Tray>} */
const trays = new Map(); // by their rows with the message box

/** @param {string} compose */
function trayOf(compose) {
  const tray = trays.get(compose) ?? new Tray(compose);
  trays.set(compose, tray);
  tray.mount();
  return tray;
}

/** When the Compare tab is opened. */
export function open() {
  if (!document.querySelector("#compare-compose .attach")) return void requestAnimationFrame(open);
  trayOf("#compare-compose");
}

/** When the page is there. */
export function begin() {
  trayOf("#compose");
  addEventListener("input", ({ target }) => {
    for (const tray of trays.values()) if (target instanceof Node && tray.compose.contains(target)) tray.tokens.later();
  });
  // A file that misses the page would be opened in its place, and what was typed would be gone.
  for (const kind of ["dragover", "drop"]) addEventListener(kind, (event) => event.preventDefault());
}

/** The message with the attached files, and the pictures of the conversation, as the server gets them.
 * @param {string} compose @param {string} typed @param {Message[] | null} messages
 * @returns {Promise<[string, Pictures]>} */
export async function attachedTo(compose, typed, messages) {
  const tray = trayOf(compose);
  await tray.work;
  const ids = tray.pictures();
  const all = urlsOf([...pictureIds({ messages: messages ?? [], live: [] }), ...ids]);
  const urls = newest(all, MOST_CHARACTERS);
  if (Object.keys(urls).length < Object.keys(all).length) {
    tray.sentence.textContent = say("The oldest pictures are not sent any more: together they have become too large.");
  }
  return [withFiles(typed, tray.files()), { ids, urls }];
}

/** The last of these pictures that together have so many characters at most. @param {Record<string, string>} urls
 * @param {number} most */
export function newest(urls, most) {
  let left = most;
  const all = Object.entries(urls).reverse();
  const end = all.findIndex(([, url]) => {
    left -= url.length;
    return left < 0;
  });
  return Object.fromEntries(all.slice(0, end < 0 ? undefined : end).reverse());
}

let lastTaken = ""; // the change by which a message was taken last

/** The server has taken a message: nothing is attached any more.
 * @param {string | null} change what happened, a word that no other change has, and the pictures */
export function taken(change) {
  if (!change?.startsWith("taken ") || change === lastTaken) return;
  lastTaken = change;
  trayOf("#compose").set([]);
}

let lastBack = ""; // the change by which a message was put back last

/** Once an event that may put a message back has ended: what was attached is again, and the box has no files.
 * @param {string | null} change as above @param {string | null} box */
export function back(change, box) {
  const tray = trayOf("#compose");
  const [kind, , ...ids] = (change ?? "").split(" ");
  if (kind !== "back" || change === lastBack) return box;
  lastBack = change ?? "";
  const { typed, files } = putBack(box ?? "");
  const pictures = ids.map((id, index) => ({ name: say("Picture {number}", { number: index + 1 }), id }));
  tray.set([...pictures, ...files, ...tray.items]);
  return typed;
}
