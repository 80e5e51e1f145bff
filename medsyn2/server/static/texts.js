// @ts-check
/**
 * The page's words: one file a language, looked up by key. Markup names its texts by `data-text`, `data-label` and
 * others.
 */

/** @type {Record<string, string>} */
let texts = {};

/** Read the texts. @param {string} url */
export async function loadTexts(url) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`${url}: ${answer.status}`);
  texts = await answer.json();
}

/**
 * Return a text; `{name}` in it is replaced by the value of that name.
 * @param {string} key @param {Record<string, string | number>} values
 */
export function t(key, values = {}) {
  const text = texts[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ""));
}

/** Return whether there is a text. @param {string} key */
export function hasText(key) {
  return key in texts;
}

/** Fill in the texts of the markup. @param {ParentNode} root */
export function applyTexts(root) {
  for (const element of root.querySelectorAll("[data-text]"))
    element.textContent = t(element.getAttribute("data-text") ?? "");
  for (const [name, attribute] of [
    ["label", "aria-label"],
    ["title", "title"],
    ["placeholder", "placeholder"],
  ])
    for (const element of root.querySelectorAll(`[data-${name}]`))
      element.setAttribute(attribute, t(element.getAttribute(`data-${name}`) ?? ""));
}

/** @type {Intl.NumberFormat[]} By digits: to make one takes longer than to draw a window's label. */
const formats = [];

/** Return a number as people read it. @param {number} value @param {number} digits */
export function number(value, digits = 0) {
  formats[digits] ??= new Intl.NumberFormat("en", {minimumFractionDigits: digits, maximumFractionDigits: digits});
  return formats[digits].format(Math.round(value * 10 ** digits) / 10 ** digits || 0);
}

/** Return a time as people say it. @param {number} seconds */
export function duration(seconds) {
  if (seconds < 90) return t("time.seconds", {n: Math.max(1, Math.round(seconds))});
  return t("time.minutes", {n: Math.round(seconds / 60)});
}
