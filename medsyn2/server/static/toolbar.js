// @ts-check
/** The bar over the picture: windows, comparison, masks on and off, and the readout under the pointer. */
import {button, press, select, setOptions, write} from "./dom.js";
import {number, t} from "./texts.js";
import {DIFFERENCE_HU, WINDOWS_HU} from "./windows.js";

/** @typedef {import("./page.js").Page} Page */
/** @typedef {import("./viewer.js").Layout} Layout */

/** @type {readonly Layout[]} */
export const LAYOUTS = ["one", "pair", "flicker", "difference"];

/** @param {Page} page */
export function setUpToolbar(page) {
  const {viewer} = page;
  for (const [name, limits] of Object.entries(WINDOWS_HU))
    button(`window-${name}`).addEventListener("click", () => viewer.setLimits(limits));
  for (const layout of LAYOUTS) button(`layout-${layout}`).addEventListener("click", () => viewer.setLayout(layout));
  for (const plane of ["axial", "coronal", "sagittal"])
    button(`plane-${plane}`).addEventListener("click", () => choosePlane(page, plane));
  choosePlane(page, "axial");
  button("marks").addEventListener("click", () => toggleMarks(page));
  button("fit").addEventListener("click", () => viewer.fit());
  select("main-volume").addEventListener("change", () =>
    page.attempt(async () => {
      const id = select("main-volume").value,
        item = page.items.find(i => i.volume === id);
      await (item ? page.showItem(item) : page.showMain(id));
    }),
  );
  select("beside-volume").addEventListener("change", () =>
    page.attempt(async () => {
      page.isBesideChosen = select("beside-volume").value !== "";
      await page.showBeside(select("beside-volume").value || null);
      if (viewer.beside) viewer.setLayout("pair");
    }),
  );
  for (const name of ["limits", "layout", "move", "hover"]) viewer.addEventListener(name, () => show(page));
  page.hear(["opened", "items", "item"], () => showVolumes(page));
  showVolumes(page);
  show(page);
}

/** Show one plane alone where the window has room for one. @param {Page} page @param {string} plane */
function choosePlane({viewer}, plane) {
  viewer.root.dataset.plane = plane;
  for (const other of ["axial", "coronal", "sagittal"]) press(button(`plane-${other}`), other === plane);
  viewer.redraw();
}

/** @param {Page} page */
export function toggleMarks(page) {
  page.isMarked = !page.isMarked;
  press(button("marks"), page.isMarked);
  page.viewer.redraw();
}

/** @param {Page} page */
function showVolumes({viewer, template, opened, items}) {
  const all = [
    ...(template ? [[template.id, t("view.template")]] : []),
    ...opened.map(h => [h.id, h.name]),
    ...items.map(i => [i.volume, i.name]),
  ];
  const before = items
    .filter(i => i.before && !all.some(([id]) => id === i.before))
    .map(i => [i.before ?? "", t("view.before", {name: i.name})]);
  const options = /** @type {[string, string][]} */ ([...all, ...before]);
  const {main, beside} = viewer;
  if (main && !options.some(([id]) => id === main.id))
    options.push([main.id, main.header.kind === "preview" ? t("badge.preview") : main.header.name]);
  setOptions(select("main-volume"), options);
  if (main) select("main-volume").value = main.id;
  setOptions(select("beside-volume"), [["", t("view.alone")], ...options]);
  select("beside-volume").value = beside?.id ?? "";
  show({viewer});
}

/** @param {Pick<Page, "viewer">} page */
function show({viewer}) {
  const [low, high] = viewer.limits;
  for (const [name, limits] of Object.entries(WINDOWS_HU))
    press(button(`window-${name}`), limits[0] === low && limits[1] === high);
  for (const layout of LAYOUTS) {
    press(button(`layout-${layout}`), viewer.layout === layout);
    button(`layout-${layout}`).disabled = layout !== "one" && !viewer.beside;
  }
  const mm = viewer.hover?.mm ?? viewer.at_mm,
    {main, beside} = viewer.valuesAt(mm);
  write(
    "window-text",
    viewer.layout === "difference"
      ? t("view.difference", {n: DIFFERENCE_HU})
      : t("view.window", {level: number((low + high) / 2), width: number(high - low)}),
  );
  const isAlone = beside === null || viewer.layout === "one",
    hu = main === null ? "" : isAlone ? t("view.hu", {n: number(main)}) : changeOf(beside, main);
  write("readout", [hu, placeOf(mm)].filter(Boolean).join("   "));
}

/** @param {number} before @param {number} now HU */
function changeOf(before, now) {
  const change = now - before;
  return t("view.hu-both", {
    before: number(before),
    now: number(now),
    change: (change > 0 ? "+" : "") + number(change),
  });
}

/** Say where a point lies, by the letters of the pictures. @param {import("./grid.js").Triple} mm */
function placeOf([z, y, x]) {
  const part = (/** @type {number} */ value, /** @type {string} */ below, /** @type {string} */ above) =>
    `${value < 0 ? below : above} ${number(Math.abs(value))}`;
  return t("view.place", {place: [part(x, "R", "L"), part(y, "A", "P"), part(z, "F", "H")].join(", ")});
}
