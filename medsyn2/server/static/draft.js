// @ts-check
/**
 * The draft: words and masks that are not sent yet, kept by the tab itself, so that a reload loses nothing. It ends
 * with the tab, is of this tab alone, and leaves nothing behind on a shared machine.
 */
import {loadRuns, runsOf} from "./layers.js";
import {stateOf} from "./page.js";
import {readReport, writeReport} from "./report.js";
import {packRuns, unpackRuns} from "./runs.js";
import {t} from "./texts.js";

/** @typedef {import("./page.js").Page} Page */

const WAIT_MS = 700;

/** @param {Page} page */
export function setUpDraft(page) {
  const key = `draft ${page.state.model.fingerprint}`;
  restore(page, sessionStorage.getItem(key));
  let timer = 0;
  const keep = () => {
    clearTimeout(timer);
    timer = 0;
    save(page, key);
  };
  page.hear(["masks", "text", "active", "source"], () => {
    clearTimeout(timer);
    timer = window.setTimeout(keep, WAIT_MS);
  });
  window.addEventListener("pagehide", () => {
    if (timer) keep();
  });
}

/** @type {WeakMap<import("./layers.js").Layer, [number, string]>} */
const packedRuns = new WeakMap();

/** @param {import("./layers.js").Layer} layer */
function pack(layer) {
  const known = packedRuns.get(layer);
  if (known?.[0] === layer.version) return known[1];
  const text = packRuns(runsOf(layer));
  packedRuns.set(layer, [layer.version, text]);
  return text;
}

/** @param {Page} page @param {string} key */
function save(page, key) {
  const drawn = page.drawn.map(d => ({
    words: d.words,
    colour: d.colour,
    isVisible: d.isVisible,
    sent: d.sentState === stateOf(d) ? d.sent : "",
    runs: pack(d.layer),
  }));
  const active = page.drawn.findIndex(d => d === page.active);
  const text = JSON.stringify({...readReport(), drawn, active, source: page.source});
  try {
    sessionStorage.setItem(key, text);
  } catch {
    page.say(t("status.draft-full"));
  }
}

/** @param {Page} page @param {string | null} text */
function restore(page, text) {
  if (!text) return;
  const {findings, impression, drawn, active, source} = JSON.parse(text);
  writeReport(page, {findings, impression});
  for (const {words, colour, isVisible, sent, runs} of drawn) {
    const made = page.addStructure(words, colour);
    made.isVisible = isVisible;
    loadRuns(made.layer, unpackRuns(runs));
    if (!page.items.some(item => item.mask === sent)) continue;
    made.sent = sent;
    made.sentState = stateOf(made);
  }
  page.source = source ?? "";
  page.tell("opened"); // A source that is gone is none
  page.tell("source");
  page.activate(page.drawn[active] ?? null);
}
