// @ts-check
/** The shelf: masks of phantoms to start from, so that nobody begins with an empty volume. */
import {fetchShelf, takeFromShelf} from "./api.js";
import {button, byId, input, make} from "./dom.js";
import {addMask} from "./start.js";
import {number, t} from "./texts.js";

/** @typedef {import("./page.js").Page} Page */
/** @typedef {import("./api.js").Start} Start */

/** @param {Page} page */
export function setUpShelf(page) {
  let masks = /** @type {Start[]} */ ([]);
  button("shelf-open").hidden = !page.state.shelf;
  button("shelf-open").addEventListener("click", () =>
    page.attempt(async () => {
      masks = await fetchShelf();
      show(page, masks);
      byId("shelf", HTMLDialogElement).showModal();
    }),
  );
  input("shelf-filter").addEventListener("input", () => show(page, masks));
}

/** Show the masks whose line has all words of the filter. @param {Page} page @param {Start[]} masks */
function show(page, masks) {
  const words = input("shelf-filter").value.toLowerCase().split(/\s+/);
  const kept = masks.filter(mask => words.every(word => `${mask.words} ${lineOf(mask)}`.toLowerCase().includes(word)));
  byId("shelf-list", HTMLElement).replaceChildren(
    ...kept.map(mask =>
      make(
        "li",
        {},
        make(
          "button",
          {type: "button", title: mask.place, click: () => take(page, mask)},
          make("b", {}, mask.words),
          make("span", {}, lineOf(mask)),
        ),
      ),
    ),
  );
}

/** @param {Start} mask */
function lineOf({side, volume_ml, phantom}) {
  const size = volume_ml === null ? "" : t("draw.ml", {n: number(volume_ml, volume_ml < 10 ? 1 : 0)});
  return [side && t(`side.${side}`), size, t("shelf.phantom", {n: phantom + 1})].filter(Boolean).join(" · ");
}

/** @param {Page} page @param {Start} mask */
function take(page, mask) {
  byId("shelf", HTMLDialogElement).close();
  page.attempt(() =>
    page.during(t("status.taking", {name: mask.words}), async () => {
      await addMask(page, await takeFromShelf(mask.id));
      page.say(t("status.taken"));
    }),
  );
}
