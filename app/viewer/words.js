// What the page says, and in which language. A word that is missing is an error, not an empty place.

import { english } from "./english.js";
import { german } from "./german.js";

const words = { en: english, de: german };
let language = navigator.language.startsWith("de") ? "de" : "en";

export const spoken = () => language;

export function toggleLanguage() {
  language = language === "de" ? "en" : "de";
}

export function say(name, values = {}) {
  const text = words[language][name];
  if (text === undefined) throw new Error(`no word for ${name}`);
  return text.replace(/\{(\w+)\}/g, (_, key) => values[key]);
}

// For codes of the service, which may know more than this page.
export const sayIfKnown = (name, values, otherwise) => (words[language][name] === undefined ? otherwise : say(name, values));

export const findingName = (finding) => sayIfKnown(`finding ${finding}`, {}, finding);

export function number(value, digits) {
  const options = { minimumFractionDigits: digits, maximumFractionDigits: digits, useGrouping: false };
  return value.toLocaleString(language, options);
}

export const percent = (share, digits = 1) => `${number(share * 100, digits)} %`;
