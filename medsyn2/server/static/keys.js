// @ts-check
/**
 * The keyboard: the arrows move the crosshair on the plane that has the focus, letters choose tools; none acts while
 * one writes.
 */
import {chooseTool, setRadius, takeBack} from "./drawing.js";
import {LAYOUTS, toggleMarks} from "./toolbar.js";
import {WINDOWS_HU} from "./windows.js";

/** @typedef {import("./page.js").Page} Page */
/** @typedef {import("./tools.js").Tools} Tools */
/** @typedef {import("./viewer.js").View} View */

/** @param {Page} page @param {Tools} tools */
export function setUpKeys(page, tools) {
  const {viewer} = page,
    names = Object.values(WINDOWS_HU);
  /** @type {Record<string, () => void>} */
  const keys = {
    v: () => chooseTool(page, tools, "look"),
    b: () => chooseTool(page, tools, "brush"),
    e: () => chooseTool(page, tools, "erase"),
    t: () => chooseTool(page, tools, "threshold"),
    g: () => chooseTool(page, tools, "fill"),
    x: () => chooseTool(page, tools, "move"),
    s: () => chooseTool(page, tools, "scale"),
    m: () => toggleMarks(page),
    0: () => viewer.fit(),
    "[": () => setRadius(page, tools, tools.radius_mm - 1),
    "]": () => setRadius(page, tools, tools.radius_mm + 1),
    f: () => viewer.setLayout(viewer.layout === "flicker" ? "one" : "flicker"),
    d: () => viewer.setLayout(viewer.layout === "difference" ? "one" : "difference"),
    c: () => viewer.setLayout(LAYOUTS[viewer.layout === "pair" ? 0 : 1]),
    ...Object.fromEntries(names.map((limits, i) => [String(i + 1), () => viewer.setLimits(limits)])),
  };
  document.addEventListener("keydown", event => {
    const {target} = event,
      isText =
        target instanceof HTMLElement &&
        target.matches("input:not([type=range], [type=radio], [type=checkbox]), textarea, select");
    if (isText || document.querySelector("dialog[open]")) return;
    const key = event.key.toLowerCase();
    if (event.ctrlKey || event.metaKey) {
      if (key === "z" || key === "y") {
        event.preventDefault();
        takeBack(page, key === "y" || event.shiftKey ? "redo" : "undo");
      }
    } else if (!event.altKey) keys[key]?.();
  });
  for (const view of viewer.views)
    view.canvas.addEventListener("keydown", event => {
      if (moveBy(page, tools, view, event)) event.preventDefault();
    });
}

/** @param {Page} page @param {Tools} tools @param {View} view @param {KeyboardEvent} event */
function moveBy({viewer}, tools, view, event) {
  if (viewer.obey(view, event.key)) return true;
  if (event.key !== "Enter" && event.key !== " ") return false;
  tools.down(viewer.at_mm, view.plane, null);
  tools.up(true);
  return true;
}
