// Sentences in the visitor's language.

/** @type {Record<string, Record<string, string>>} language → English → that language, put into the page by the server */
const catalogs = /** @type {any} */ (globalThis).streamspace?.catalogs ?? {};

/**
 * The sentence in the browser's language, with its values in the places that {name} marks.
 * @param {string} sentence @param {Record<string, string | number>} values
 */
export function say(sentence, values = {}) {
  const catalog = catalogs[navigator.language.split("-")[0] ?? ""] ?? {};
  return (catalog[sentence] ?? sentence).replace(/\{(\w+)\}/g, (place, name) => String(values[name] ?? place));
}
