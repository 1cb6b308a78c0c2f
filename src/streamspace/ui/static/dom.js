// The page's document.

/**
 * The element that the page must have; throws where it has none.
 * @template {HTMLElement} [T=HTMLElement] @param {string} selector @param {ParentNode} within @returns {T}
 */
export function find(selector, within = document) {
  const found = /** @type {T | null} */ (within.querySelector(selector));
  if (!found) throw new Error(`The page has no ${selector}`);
  return found;
}

/**
 * A new element. Strings among its children become text, so that nothing in them is taken for HTML.
 * @template {keyof HTMLElementTagNameMap} K @param {K} name
 * @param {Record<string, unknown>} properties set as attributes where the element has no property of that name
 * @param {(Node | string)[]} children
 */
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
