// @ts-check
/** Step 1 of the page: scans and masks from files, masks from the shelf, and what a request begins with. */
import {fetchMask, fetchShelf, openFile, takeFromShelf} from "./api.js";
import {button, byId, input, make, select, setOptions} from "./dom.js";
import {each} from "./grid.js";
import {loadRuns} from "./layers.js";
import {number, t} from "./texts.js";

/** @typedef {import("./page.js").Page} Page */

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
  button("shelf-open").hidden = !page.state.shelf;
  button("shelf-open").addEventListener("click", () => page.attempt(() => showShelf(page)));
  select("source").addEventListener("change", () => setSource(page, select("source").value));
  page.hear(["opened", "items"], () => showSources(page));
  showSources(page);
}

/** Begin the next request with a volume, or with nothing. @param {Page} page @param {string} id */
export function setSource(page, id) {
  page.source = id;
  showSources(page);
  select("source").value = id;
  const volume = page.items.find(item => item.id === id)?.volume ?? id;
  if (volume && page.viewer.main?.id !== volume) page.attempt(() => page.showMain(volume));
  page.tell("source");
}

/** @param {Page} page */
function showSources(page) {
  const opened = page.opened.map(h => /** @type {[string, string]} */ ([h.id, t("start.change", {name: h.name})]));
  const items = page.items.map(i => /** @type {[string, string]} */ ([i.id, t("start.change", {name: i.name})]));
  setOptions(select("source"), [["", t("start.nothing")], ...opened, ...items]);
  if (page.source !== select("source").value) {
    page.source = select("source").value;
    page.tell("source");
  }
}

/** @param {Page} page @param {File[]} files @param {"ct" | "mask"} as */
async function open(page, files, as) {
  for (const file of files)
    await page.attempt(async () => {
      const max = page.state.max_upload_bytes;
      if (file.size > max) throw new Error(t("problem.too-large", {name: file.name, mb: number(max / 1e6)}));
      page.say(t("status.opening", {name: file.name}));
      const {volumes, masks} = await openFile(file, as);
      page.opened.unshift(...volumes);
      page.tell("opened");
      for (const mask of masks) await addMask(page, mask);
      if (volumes[0]) {
        await page.showItem(null);
        setSource(page, volumes[0].id);
        await page.showMain(volumes[0].id);
      }
      page.say(t("status.opened", {name: file.name}));
    });
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
  drawn.sentState = `${drawn.layer.version} ${drawn.words}`;
  const {low, high} = drawn.layer.box,
    {origin_mm: o, spacing_mm: s} = page.grid;
  if (low[0] < high[0]) page.viewer.moveTo(each(a => o[a] + (s[a] * (low[a] + high[a] - 1)) / 2));
  page.changed();
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

/** @param {Page} page */
async function showShelf(page) {
  const dialog = byId("shelf", HTMLDialogElement),
    masks = await fetchShelf();
  const take = (/** @type {string} */ id) =>
    page.attempt(async () => {
      dialog.close();
      await addMask(page, await takeFromShelf(id));
      page.say(t("status.taken"));
    });
  byId("shelf-list", HTMLElement).replaceChildren(
    ...masks.map(mask =>
      make(
        "li",
        {},
        make(
          "button",
          {type: "button", click: () => take(mask.id)},
          make("b", {}, mask.title || mask.words),
          make(
            "span",
            {},
            [mask.side, mask.place, t("draw.ml", {n: number(mask.volume_ml, mask.volume_ml < 10 ? 1 : 0)})]
              .filter(Boolean)
              .join(" · "),
          ),
        ),
      ),
    ),
  );
  dialog.showModal();
}
