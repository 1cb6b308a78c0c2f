// Sentences in the visitor's language.

/** @type {Record<string, string>} English → Chinese, put into the page by the server */
const chinese = /** @type {any} */ (globalThis).streamspace?.chinese ?? {};

/**
 * The sentence in the browser's language, with its values in the places that {name} marks.
 * @param {string} sentence @param {Record<string, string | number>} values
 */
export function say(sentence, values = {}) {
  const translated = (navigator.language.startsWith("zh") && chinese[sentence]) || sentence;
  return translated.replace(/\{(\w+)\}/g, (place, name) => String(values[name] ?? place));
}
