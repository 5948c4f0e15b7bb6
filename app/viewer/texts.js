// Texts of the page in the current language. A missing text is an error.

import { english } from "./english.js";
import { german } from "./german.js";

const texts = { en: english, de: german };
let language = navigator.language.startsWith("de") ? "de" : "en";

export const currentLanguage = () => language;

export function toggleLanguage() {
  language = language === "de" ? "en" : "de";
}

export function translate(name, values = {}) {
  const text = texts[language][name];
  if (text === undefined) throw new Error(`no text for ${name}`);
  return text.replace(/\{(\w+)\}/g, (_, key) => values[key]);
}

// For codes of the service, which can be newer than this page.
export const translateIfKnown = (name, values, otherwise) => (texts[language][name] === undefined ? otherwise : translate(name, values));

export const findingName = (finding) => translateIfKnown(`finding ${finding}`, {}, finding);

export const pointName = (name) => translateIfKnown(`point ${name}`, {}, name);

export function number(value, digits) {
  const options = { minimumFractionDigits: digits, maximumFractionDigits: digits, useGrouping: false };
  return value.toLocaleString(language, options);
}

export const percent = (share, digits = 1) => `${number(share * 100, digits)} %`;
