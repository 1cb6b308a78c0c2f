// Sentences in the visitor's language.

/** @type {Record<string, Record<string, string>>} language → English → that language, from the page's head */
const catalogs = /** @type {any} */ (globalThis).streamspace?.catalogs ?? {};

/** The sentence in the browser's language; each {name} in it becomes the value of that name.
 * @param {string} sentence @param {Record<string, string | number>} values */
export function say(sentence, values = {}) {
  const translated = catalogs[navigator.language.split("-")[0]]?.[sentence] ?? sentence;
  return translated.replace(/\{(\w+)\}/g, (place, name) => String(values[name] ?? place));
}
