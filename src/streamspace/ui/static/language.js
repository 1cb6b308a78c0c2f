// Sentences in the visitor's language.

/** @type {Record<string, Record<string, string>>} language → English → that language, from the page's head */
const catalogs = /** @type {any} */ (globalThis).streamspace?.catalogs ?? {};

/** The page's language: the browser's, or English where the page does not have that. */
export function language() {
  const [wanted] = navigator.language.split("-");
  return wanted in catalogs ? wanted : "en";
}

/** The sentence in the page's language; each {name} in it becomes the value of that name.
 * @param {string} sentence @param {Record<string, string | number>} values */
export function say(sentence, values = {}) {
  const translated = catalogs[language()]?.[sentence] ?? sentence;
  return translated.replace(/\{(\w+)\}/g, (place, name) => String(values[name] ?? place));
}
