// @ts-check
/** Elements of the page. Text is set as text, never as markup. */

/** @typedef {Record<string, string | number | boolean | null | undefined | ((event: any) => void)>} Attributes */

/**
 * Return an element of the page by its id.
 * @template {HTMLElement} T
 * @param {string} id @param {new () => T} kind @returns {T}
 */
export function byId(id, kind) {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`the page has no ${kind.name} #${id}`);
  return found;
}

/** @param {string} id */
export function button(id) {
  return byId(id, HTMLButtonElement);
}

/** @param {string} id */
export function input(id) {
  return byId(id, HTMLInputElement);
}

/** @param {string} id */
export function select(id) {
  return byId(id, HTMLSelectElement);
}

/**
 * Make an element. Attributes that are functions are listeners, true is an empty attribute, null and false are none.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag @param {Attributes} attributes @param {...(Node | string)} children @returns
 * {HTMLElementTagNameMap[K]}
 */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== null && value !== undefined && value !== false)
      element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children);
  return element;
}

/** @param {HTMLElement} element @param {boolean} is */
export function press(element, is) {
  if (element.getAttribute("aria-pressed") !== String(is)) element.setAttribute("aria-pressed", String(is));
}

/** Write a text that often stays what it was: each change costs a layout. @param {string} id @param {string} text */
export function write(id, text) {
  const element = byId(id, HTMLElement);
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Fill a list of choices and keep the choice if it is still there.
 * @param {HTMLSelectElement} list @param {[string, string][]} options values and texts
 */
export function setOptions(list, options) {
  const value = list.value;
  list.replaceChildren(...options.map(([key, text]) => new Option(text, key)));
  if (options.some(([key]) => key === value)) list.value = value;
}

/** Offer a text to the browser as a file. @param {string} url @param {string} name */
export function download(url, name) {
  const link = make("a", {href: url, download: name});
  document.body.append(link);
  link.click();
  link.remove();
}
