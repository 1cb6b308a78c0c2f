// Sentences in the visitor's language.

/** @type {Record<string, Record<string, string>>} language → English → that language, from the page's head */
const catalogs = /** @type {any} */ (globalThis).streamspace?.catalogs ?? {};

/** The page's language: the browser's, or English where the page does not have that. */
export function language() {
  const [wanted] = navigator.language.split("-");
  return wanted in catalogs ? wanted : "en";
}

const PLACE = /\{(\w+)(?::\|([^{}]*))?\}/g;
const CATEGORIES = ["zero", "one", "two", "few", "many", "other"]; // of Unicode, in the order of a word's forms

/** The sentence in the page's language. Each {name} in it becomes the value of that name, numbers as that language
 * writes them; {name:|…|…} becomes the form of a word that goes with that number.
 * @param {string} sentence @param {Record<string, string | number>} values */
export function say(sentence, values = {}) {
  const translated = catalogs[language()]?.[sentence];
  const spoken = translated ? language() : "en";
  return (translated ?? sentence).replace(PLACE, (place, name, forms) => {
    const value = values[name] ?? place;
    if (forms) return formFor(spoken, forms.split("|"), Number(value));
    return typeof value === "number" ? value.toLocaleString(spoken) : value;
  });
}

/** @param {string} spoken @param {string[]} forms @param {number} number */
function formFor(spoken, forms, number) {
  const rules = new Intl.PluralRules(spoken);
  const { pluralCategories } = rules.resolvedOptions();
  const place = CATEGORIES.filter((each) => pluralCategories.some((own) => own === each)).indexOf(rules.select(number));
  return forms[Math.min(place, forms.length - 1)]; // some languages have a category for whole millions alone
}
