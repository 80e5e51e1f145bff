// @ts-check
/** The page begins here: it reads texts and state, sets up its parts, shows a volume and listens to the server. */
import {ServerError, fetchState, fetchTemplate, listen} from "./api.js";
import {button, byId} from "./dom.js";
import {setUpDraft} from "./draft.js";
import {setUpDrawing} from "./drawing.js";
import {gridOf} from "./grid.js";
import {setUpHistory} from "./history.js";
import {hearEvent, readAgain, setUpJobs, showModel} from "./jobs.js";
import {setUpKeys} from "./keys.js";
import {Page} from "./page.js";
import {setUpReport} from "./report.js";
import {setUpShelf} from "./shelf.js";
import {setUpStart} from "./start.js";
import {applyTexts, loadTexts, t} from "./texts.js";
import {setUpToolbar} from "./toolbar.js";
import {Tools} from "./tools.js";
import {Viewer} from "./viewer.js";

/** @typedef {import("./api.js").State} State */

async function start() {
  await loadTexts("/static/texts.en.json");
  applyTexts(document);
  const page = await open();
  setUpDialogs();
  await showFirst(page);
  byId("app", HTMLElement).dataset.ready = "true";
  return page;
}

/** Follow the server's events until the tab is closed. @param {Page} page */
async function follow(page) {
  let wasUp = true;
  const link = (/** @type {boolean} */ isUp) => {
    page.showLink(isUp);
    if (isUp && !wasUp) page.attempt(() => readAgain(page));
    wasUp = isUp;
  };
  await listen(page.state.event, (name, data) => hearEvent(page, name, data), link, new AbortController().signal);
}

async function open() {
  const state = await fetchState();
  const viewer = new Viewer(gridOf(state.model.grid), byId("columns", HTMLElement), {
    label: ({plane}, index, num) => t("view.slice", {plane: t(`plane.${plane.name}`), n: index + 1, total: num}),
    badge: (volume, layout) =>
      layout === "difference"
        ? t("badge.difference")
        : !volume
          ? ""
          : t(`badge.${volume.header.is_synthetic ? "synthetic" : volume.header.kind}`),
  });
  const page = new Page(state, viewer),
    tools = new Tools(page);
  viewer.tool = tools;
  showFacts(state);
  showModel(page, state.model);
  setUpStart(page);
  setUpShelf(page);
  setUpDrawing(page, tools);
  setUpJobs(page);
  setUpReport(page);
  setUpHistory(page);
  setUpToolbar(page);
  setUpKeys(page, tools);
  setUpDraft(page);
  button("problem-close").addEventListener("click", () => {
    byId("problem", HTMLElement).hidden = true;
  });
  return page;
}

/** @param {Page} page */
async function showFirst(page) {
  const {history, volumes} = page.state;
  await page.attempt(async () => {
    page.template = await fetchTemplate();
    page.tell("opened");
    const last = history.at(-1),
      scan = volumes.at(-1);
    if (last) await page.showItem(last);
    else if (scan) await page.showMain(scan.id);
    else if (page.template) await page.showMain(page.template.id);
  });
  page.say(t("status.ready"));
}

/** @param {State} state */
function showFacts({model}) {
  byId("model-facts", HTMLElement).textContent = t("limits.model", {
    name: model.name,
    licence: model.licence ?? t("limits.no-licence"),
  });
}

function setUpDialogs() {
  for (const opener of document.querySelectorAll("[data-opens]"))
    opener.addEventListener("click", () =>
      byId(opener.getAttribute("data-opens") ?? "", HTMLDialogElement).showModal(),
    );
  for (const closer of document.querySelectorAll("[data-closes]"))
    closer.addEventListener("click", () => closer.closest("dialog")?.close());
}

/** The page when its parts are set up: for the console, and for `benchmarks/page.py`. */
export const page = start();

page.then(follow).catch(error => {
  byId("problem", HTMLElement).hidden = false;
  byId("problem-text", HTMLElement).textContent = error.message;
  byId("problem-remedy", HTMLElement).textContent = error instanceof ServerError ? error.remedy : "";
});
