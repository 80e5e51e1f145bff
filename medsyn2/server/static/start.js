// @ts-check
/** Step 1 of the page: scans and masks from files, masks from the shelf, and what a request begins with. */
import {fetchMask, forgetVolume, openFile} from "./api.js";
import {button, byId, input, make, select, setOptions} from "./dom.js";
import {loadRuns} from "./layers.js";
import {stateOf} from "./page.js";
import {number, t} from "./texts.js";

/** @typedef {import("./page.js").Page} Page */
/** @typedef {import("./api.js").Header} Header */

/** @param {Page} page */
export function setUpStart(page) {
  for (const as of /** @type {const} */ (["ct", "mask"])) {
    button(`open-${as}`).addEventListener("click", () => input(`file-${as}`).click());
    input(`file-${as}`).addEventListener("change", () => {
      open(page, [...(input(`file-${as}`).files ?? [])], as);
      input(`file-${as}`).value = "";
    });
  }
  setUpDrop(page);
  button("scan-forget").addEventListener("click", () => page.attempt(() => forgetScan(page)));
  select("source").addEventListener("change", () => setSource(page, select("source").value));
  page.hear(["opened", "items"], () => showSources(page));
  showSources(page);
}

/** Begin the next request with a volume, or with nothing. @param {Page} page @param {string} id */
export function setSource(page, id) {
  page.source = id;
  showSources(page);
  const volume = page.items.find(item => item.id === id)?.volume ?? id;
  if (volume && page.viewer.main?.id !== volume) page.attempt(() => page.showMain(volume));
  page.tell("source");
}

/** Offer what a request can begin with; a source that is gone is none. @param {Page} page */
function showSources(page) {
  const named = [...page.opened, ...page.items].map(
    ({id, name}) => /** @type {[string, string]} */ ([id, t("start.change", {name})]),
  );
  setOptions(select("source"), [["", t("start.nothing")], ...named]);
  const isThere = page.source === "" || named.some(([id]) => id === page.source);
  if (!isThere) page.source = "";
  select("source").value = page.source;
  const scan = page.opened.find(h => h.id === page.source);
  button("scan-forget").hidden = !scan;
  byId("scan-facts", HTMLElement).replaceChildren(...(scan ? factsOf(scan).map(fact => make("li", {}, fact)) : []));
  if (!isThere) page.tell("source");
}

/** Say how large a scan is, as radiologists count its voxels, and what was noticed about it. @param {Header} header */
function factsOf({native, notes = []}) {
  if (!native) return notes;
  const reversed = (/** @type {number[]} */ values, digits = 0) =>
    [...values]
      .reverse()
      .map(v => number(v, digits))
      .join(" × ");
  return [t("start.voxels", {shape: reversed(native.shape), spacing: reversed(native.spacing_mm, 2)}), ...notes];
}

/** @param {Page} page @param {File[]} files @param {"ct" | "mask"} as */
async function open(page, files, as) {
  for (const file of files)
    await page.attempt(() =>
      page.during(t("status.opening", {name: file.name}), async () => {
        const max = page.state.max_upload_bytes;
        if (file.size > max) throw new Error(t("problem.too-large", {name: file.name, mb: number(max / 1e6)}));
        const isScan = page.opened.some(h => h.id === page.source),
          {volumes, masks} = await openFile(file, as, as === "mask" && isScan ? page.source : null);
        page.opened.unshift(...volumes);
        page.tell("opened");
        for (const mask of masks) await addMask(page, mask);
        if (volumes[0]) {
          await page.showItem(null);
          setSource(page, volumes[0].id);
          await page.showMain(volumes[0].id);
        }
        page.say([t("status.opened", {name: file.name}), ...masks.flatMap(mask => mask.notes)].join(" "));
      }),
    );
}

/**
 * Add a mask of the server as a structure.
 * @param {Page} page @param {{id: string, name: string, words: string}} mask
 */
export async function addMask(page, {id, name, words}) {
  const runs = await fetchMask(id),
    known = page.state.model.structures.find(s => s.words === words);
  const drawn = page.addStructure(words || name, known?.colour ?? null);
  loadRuns(drawn.layer, runs);
  drawn.sent = id;
  drawn.sentState = stateOf(drawn);
  page.lookAt(drawn.layer);
  page.changed();
}

/** Remove a scan from the session. @param {Page} page */
async function forgetScan(page) {
  const scan = page.opened.find(h => h.id === page.source);
  if (scan && window.confirm(t("history.sure", {name: scan.name}))) await forgetVolume(scan.id);
}

/** Take files that are dropped anywhere: scans, or masks if Shift is held. @param {Page} page */
function setUpDrop(page) {
  const veil = byId("drop", HTMLElement);
  document.addEventListener("dragover", event => {
    event.preventDefault();
    veil.hidden = false;
  });
  document.addEventListener("dragleave", event => {
    if (!event.relatedTarget) veil.hidden = true;
  });
  document.addEventListener("drop", event => {
    event.preventDefault();
    veil.hidden = true;
    open(page, [...(event.dataTransfer?.files ?? [])], event.shiftKey ? "mask" : "ct");
  });
}
