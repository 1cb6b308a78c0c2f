// The page's document.

const LOOK_MS = 100;
const MOST_LOOKS = 30; // for what is to be focused

/** The element that the page must have; throws where it has none.
 * @param {string} selector @param {ParentNode} within @returns {HTMLElement} */
export function find(selector, within = document) {
  /** @type {HTMLElement | null} */
  const found = within.querySelector(selector);
  if (!found) throw new Error(`The page has no ${selector}`);
  return found;
}

/** Focus what may come into view only now, on a slow device late, and select its text: what is typed takes its place.
 * @param {string} selector @param {{ selects?: boolean, numLooks?: number }} options */
export function focusOnceSeen(selector, { selects = true, numLooks = MOST_LOOKS } = {}) {
  /** @type {HTMLInputElement | HTMLTextAreaElement | null} */
  const wanted = document.querySelector(selector);
  wanted?.focus();
  if (wanted && document.activeElement === wanted) {
    if (selects) wanted.select();
  } else if (numLooks) setTimeout(() => focusOnceSeen(selector, { selects, numLooks: numLooks - 1 }), LOOK_MS);
}

/** A new element. Its properties become attributes where an element has none of that name; strings become text.
 * @template {keyof HTMLElementTagNameMap} K @param {K} name @param {Record<string, unknown>} properties
 * @param {(Node | string)[]} children */
export function element(name, properties, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key in made) Object.assign(made, { [key]: value });
    else made.setAttribute(key, String(value));
  }
  made.append(...children);
  return made;
}

/** Have the browser save a file. @param {string} name @param {string} text @param {string} type */
export function download(name, text, type) {
  const link = element("a", { href: URL.createObjectURL(new Blob([text], { type })) });
  // biome-ignore lint/suspicious/noControlCharactersInRegex: file systems refuse them
  link.download = name.replace(/[\\/:*?"<>|\x00-\x1f]/g, " ").trim();
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** What the work with a storage of this browser gives; null where the browser allows none.
 * @template T @param {() => T} work */
export function ifStored(work) {
  try {
    return work();
  } catch {
    return null;
  }
}
