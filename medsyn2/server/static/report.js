// @ts-check
/** Step 3 of the page: the report, its tokens, what the encoder cuts and does not know, and the prompt that it gets. */
import {checkText, fetchExamples} from "./api.js";
import {byId, make, select} from "./dom.js";
import {t} from "./texts.js";

/** @typedef {import("./page.js").Page} Page */

const WAIT_MS = 350;

/** @param {string} id */
const area = id => byId(id, HTMLTextAreaElement);

/** Return the report as it is written. */
export function readReport() {
  return {findings: area("findings").value.trim(), impression: area("impression").value.trim()};
}

/** @param {Page} page @param {{findings: string, impression: string}} report */
export function writeReport(page, {findings, impression}) {
  area("findings").value = findings;
  area("impression").value = impression;
  page.tell("text");
}

/** @param {Page} page */
export function setUpReport(page) {
  let timer = 0,
    number = 0;
  for (const id of ["findings", "impression"]) area(id).addEventListener("input", () => page.tell("text"));
  page.hear(["text", "active"], () => {
    clearTimeout(timer);
    timer = window.setTimeout(
      () =>
        page.attempt(async () => {
          const mine = ++number,
            words = wordsOfRequest(page),
            report = readReport(),
            told = await checkText({...report, words});
          if (mine === number) showText(told, Boolean(report.findings || report.impression));
        }),
      WAIT_MS,
    );
  });
  page.attempt(() => setUpExamples(page));
  page.tell("text");
}

/** Return the words of the mask that the request names. @param {Page} page */
export function wordsOfRequest(page) {
  return page.drawn.find(d => d.key === select("asked").value)?.words || null;
}

/** Offer sentences by the finding that they state; one is put behind those that are written. @param {Page} page */
async function setUpExamples(page) {
  const list = select("examples"),
    examples = await fetchExamples();
  const group = (/** @type {string} */ label, /** @type {string[]} */ sentences) => {
    const element = make("optgroup", {label});
    element.append(...sentences.map(sentence => new Option(sentence, sentence)));
    return element;
  };
  list.replaceChildren(
    new Option(t("write.examples"), ""),
    ...examples.map(({finding, sentences}) => group(finding.replaceAll("_", " "), sentences)),
  );
  list.addEventListener("change", () => {
    const {findings, impression} = readReport();
    writeReport(page, {findings: [findings, list.value].filter(Boolean).join(" "), impression});
    list.value = "";
  });
}

/**
 * @param {{tokens: number, max_tokens: number, cut: string, unknown: string[], prompt: string, notes: string[]}} told
 * @param {boolean} isWritten
 */
function showText({tokens, max_tokens, cut, unknown, prompt, notes}, isWritten) {
  const meter = byId("tokens", HTMLMeterElement);
  meter.max = max_tokens;
  meter.high = max_tokens;
  meter.value = Math.min(tokens, max_tokens);
  byId("tokens-text", HTMLElement).textContent = isWritten
    ? t("write.tokens", {n: tokens, max: max_tokens})
    : t("write.none");
  const lines = [
    ...(cut ? [t("write.cut", {text: cut})] : []),
    ...(unknown.length ? [t("write.unknown", {words: unknown.join(", ")})] : []),
    ...notes,
  ];
  byId("text-notes", HTMLElement).replaceChildren(
    ...lines.map(line => Object.assign(document.createElement("li"), {textContent: line})),
  );
  byId("prompt", HTMLElement).textContent = prompt;
}
