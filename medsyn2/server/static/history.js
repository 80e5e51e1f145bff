// @ts-check
/**
 * The results of the session: the strip of them all, and the one that is looked at, with its check, its files and its
 * recipe.
 */
import {forgetItem, itemFile} from "./api.js";
import {button, byId, download, make, select} from "./dom.js";
import {check} from "./jobs.js";
import {writeReport} from "./report.js";
import {setSource} from "./start.js";
import {hasText, number, t} from "./texts.js";

/** @typedef {import("./page.js").Page} Page */
/** @typedef {import("./api.js").Item} Item */

/** @param {Page} page */
export function setUpHistory(page) {
  page.hear(["items", "item", "opened"], () => {
    showStrip(page);
    showItem(page.item);
  });
  const act = (/** @type {string} */ id, /** @type {(item: Item) => Promise<void> | void} */ does) =>
    button(id).addEventListener("click", () =>
      page.attempt(async () => {
        if (page.item) await does(page.item);
      }),
    );
  act("item-check", item => check(page, item));
  act("item-change", item => setSource(page, item.id));
  act("item-again", item => {
    if (item.report) writeReport(page, {findings: item.report, impression: ""});
  });
  act("item-save", item => {
    download(itemFile(item.id, select("item-format").value), "");
    page.say(t("status.saving"));
  });
  act("item-forget", forget);
  act("item-recipe", item => {
    byId("recipe-json", HTMLElement).textContent = JSON.stringify(item.recipe, null, 1);
    byId("recipe-command", HTMLElement).textContent = item.command;
    byId("recipe", HTMLDialogElement).showModal();
  });
  button("copy-command").addEventListener("click", () =>
    page.attempt(async () => {
      await navigator.clipboard.writeText(page.item?.command ?? "");
      page.say(t("status.copied"));
    }),
  );
  showStrip(page);
  showItem(null);
}

/** @param {Item} item */
async function forget(item) {
  if (!window.confirm(t("history.sure", {name: item.name}))) return;
  await forgetItem(item.id);
}

/** @param {Page} page */
function showStrip(page) {
  byId("items-empty", HTMLElement).hidden = page.items.length > 0;
  byId("items", HTMLElement).replaceChildren(
    ...page.items.map(item =>
      make(
        "li",
        {},
        make(
          "button",
          {
            type: "button",
            "aria-pressed": String(page.item?.id === item.id),
            click: () => page.attempt(() => page.showItem(item)),
          },
          make("b", {}, item.name),
          make("span", {}, lineOf(page, item)),
        ),
      ),
    ),
  );
}

/** @param {Page} page @param {Item} item */
function lineOf({opened}, {kind, source, created, check}) {
  const time = new Date(created * 1000),
    scan = opened.find(h => h.id === source)?.name,
    parts = [scan ? t("start.change", {name: scan}) : hasText(`kind.${kind}`) ? t(`kind.${kind}`) : kind];
  if (!Number.isNaN(time.getTime())) parts.push(time.toLocaleTimeString([], {hour: "2-digit", minute: "2-digit"}));
  if (check?.dice !== null && check?.dice !== undefined) parts.push(t("check.dice", {n: number(check.dice, 2)}));
  return parts.join(" · ");
}

/** @param {Item | null} item */
function showItem(item) {
  byId("item", HTMLElement).hidden = !item;
  if (!item) return;
  byId("item-name", HTMLElement).textContent = item.name;
  button("item-check").disabled = !item.mask;
  button("item-again").disabled = !item.report;
  const {check} = item,
    ml = (/** @type {number} */ v) => number(v, v < 10 ? 1 : 0);
  const rows = /** @type {[string, string | number | null | undefined][]} */ (
    check
      ? [
          ["check.dice-name", check.dice === null ? null : number(check.dice, 2)],
          ["check.asked", check.asked_ml === null ? null : ml(check.asked_ml)],
          ["check.found", check.found_ml === null ? null : ml(check.found_ml)],
          ["check.side", check.side],
          ["check.hu", check.hu === null ? null : number(check.hu.mean)],
          ["check.problem", check.problem],
        ]
      : []
  );
  byId("item-facts", HTMLElement).replaceChildren(
    ...rows
      .filter(([, value]) => value !== null && value !== undefined)
      .flatMap(([key, value]) => [make("dt", {}, t(key)), make("dd", {}, String(value))]),
  );
  byId("item-words", HTMLElement).textContent = item.report ?? "";
  byId("item-legend", HTMLElement).hidden = !item.mask;
  byId("legend-found", HTMLElement).hidden = !item.found;
}
