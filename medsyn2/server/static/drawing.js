// @ts-check
/** Step 2 of the page: the list of structures and the buttons that change the active one. */
import {maskFile, sendMask} from "./api.js";
import {button, byId, download, input, make, press, select} from "./dom.js";
import {emptyPiece, runsOf} from "./layers.js";
import {stateOf} from "./page.js";
import {flipPiece, growPiece, interpolatePiece, keepSide, shrinkPiece} from "./shapes.js";
import {number, t} from "./texts.js";
import {TOOLS, firstWords} from "./tools.js";

/** @typedef {import("./page.js").Page} Page */
/** @typedef {import("./page.js").Drawn} Drawn */
/** @typedef {import("./tools.js").Tools} Tools */

const MIN_RADIUS_MM = 1,
  MAX_RADIUS_MM = 60;

/** @param {Page} page @param {Tools} tools */
export function setUpDrawing(page, tools) {
  byId("structure-words", HTMLDataListElement).replaceChildren(
    ...page.state.model.structures.map(s => new Option(s.words, s.words)),
  );
  setUpTools(page, tools);
  setUpChanges(page);
  button("structure-add").addEventListener("click", () => page.addStructure(nextWords(page)));
  page.hear(["masks", "active", "opened"], () => showStructures(page));
  showStructures(page);
}

/** @param {Page} page @param {Tools} tools */
function setUpTools(page, tools) {
  for (const name of TOOLS) button(`tool-${name}`).addEventListener("click", () => chooseTool(page, tools, name));
  input("radius").addEventListener("input", () => setRadius(page, tools, Number(input("radius").value)));
  input("flat").addEventListener("change", () => {
    tools.isFlat = input("flat").checked;
  });
  for (const [i, id] of ["threshold-low", "threshold-high"].entries())
    input(id).addEventListener("change", () => {
      tools.limits_hu[i] = Number(input(id).value);
    });
  input("threshold-low").value = String(tools.limits_hu[0]);
  input("threshold-high").value = String(tools.limits_hu[1]);
  setRadius(page, tools, tools.radius_mm);
  chooseTool(page, tools, "look");
}

/** @param {Page} page @param {Tools} tools @param {import("./tools.js").ToolName} name */
export function chooseTool(page, tools, name) {
  tools.up(false);
  tools.name = name;
  for (const other of TOOLS) press(button(`tool-${other}`), other === name);
  byId("tip-options", HTMLElement).hidden = !tools.paints;
  byId("threshold-options", HTMLElement).hidden = name !== "threshold";
  byId("tool-hint", HTMLElement).textContent = t(`hint.${name}`);
  page.viewer.redraw();
}

/** @param {Page} page @param {Tools} tools @param {number} radius_mm */
export function setRadius(page, tools, radius_mm) {
  tools.radius_mm = Math.max(MIN_RADIUS_MM, Math.min(MAX_RADIUS_MM, radius_mm));
  input("radius").value = String(tools.radius_mm);
  input("radius").setAttribute("aria-valuetext", t("draw.mm", {n: tools.radius_mm}));
  byId("radius-value", HTMLElement).textContent = t("draw.mm", {n: tools.radius_mm});
  page.viewer.redraw();
}

/** @param {Page} page */
function setUpChanges(page) {
  const {grid} = page,
    mm = () => Math.max(0, Number(input("grow-mm").value) || 0);
  /** @type {Record<string, (piece: import("./layers.js").Piece) => import("./layers.js").Piece>} */
  const changes = {
    flip: piece => flipPiece(piece, grid),
    "keep-left": piece => keepSide(piece, grid, "left"),
    "keep-right": piece => keepSide(piece, grid, "right"),
    grow: piece => growPiece(piece, page.measured, mm()),
    shrink: piece => shrinkPiece(piece, page.measured, mm()),
    interpolate: piece =>
      interpolatePiece(piece, grid, /** @type {0 | 1 | 2} */ (Number(select("interpolate-axis").value))),
    clear: () => emptyPiece(),
  };
  for (const [name, change] of Object.entries(changes))
    button(`change-${name}`).addEventListener("click", () => page.edit(change));
  button("undo").addEventListener("click", () => takeBack(page, "undo"));
  button("redo").addEventListener("click", () => takeBack(page, "redo"));
  button("mask-save").addEventListener("click", () => page.attempt(() => saveMask(page)));
}

/** @param {Page} page @param {"undo" | "redo"} way */
export function takeBack(page, way) {
  const layer = way === "undo" ? page.undo.undo() : page.undo.redo();
  const drawn = page.drawn.find(d => d.layer === layer);
  if (drawn) {
    drawn.isVisible = true;
    page.activate(drawn);
  }
  page.changed();
}

/** Send a structure as a mask, once for each of its states; return its id. @param {Drawn} drawn */
export async function sendStructure(drawn) {
  const {layer, words} = drawn,
    state = stateOf(drawn);
  if (drawn.sentState !== state) {
    drawn.sent = (await sendMask(runsOf(layer), words, words)).id;
    drawn.sentState = state;
  }
  return drawn.sent;
}

/** @param {Page} page */
async function saveMask(page) {
  const drawn = page.active,
    format = select("mask-format").value;
  if (!drawn) return;
  download(maskFile(await sendStructure(drawn), format), "");
  page.say(t("status.saving"));
}

/** @param {Page} page */
function showStructures(page) {
  const list = byId("structures", HTMLElement),
    held = document.activeElement?.getAttribute("data-hold");
  list.replaceChildren(...page.drawn.map((drawn, i) => structureRow(page, drawn, i)));
  if (held) /** @type {HTMLElement | null} */ (list.querySelector(`[data-hold="${CSS.escape(held)}"]`))?.focus();
  byId("structures-empty", HTMLElement).hidden = page.drawn.length > 0;
  byId("changes", HTMLFieldSetElement).disabled = !page.active;
  button("undo").disabled = !page.undo.past.length;
  button("redo").disabled = !page.undo.future.length;
}

/** @param {Page} page @param {Drawn} drawn @param {number} i */
function structureRow(page, drawn, i) {
  const {key, words, colour, isVisible, layer} = drawn,
    say = (/** @type {string} */ what) => t(what, {name: words || t("draw.unnamed")});
  const choose = make("input", {
    type: "radio",
    name: "active",
    "aria-label": say("draw.choose"),
    "data-hold": key + "-choose",
    change: () => page.activate(drawn),
  });
  choose.checked = page.active === drawn;
  const swatch = make("input", {
    type: "color",
    value: colour,
    "aria-label": say("draw.colour"),
    "data-hold": key + "-colour",
    input: (/** @type {any} */ event) => {
      drawn.colour = event.target.value;
      page.viewer.redraw();
    },
  });
  const name = make("input", {
    type: "text",
    value: words,
    list: "structure-words",
    maxlength: 200,
    "aria-label": t("draw.words"),
    "data-hold": key + "-words",
    focus: () => {
      if (page.active !== drawn) page.activate(drawn);
    },
    change: (/** @type {any} */ event) => {
      drawn.words = event.target.value.trim();
      page.changed();
      page.tell("text");
    },
  });
  const eye = make(
    "button",
    {
      type: "button",
      class: "small",
      "aria-pressed": String(isVisible),
      "aria-label": say("draw.show"),
      title: say("draw.show"),
      "data-hold": key + "-eye",
      click: () => {
        drawn.isVisible = !isVisible;
        page.changed();
      },
    },
    isVisible ? "●" : "○",
  );
  const up = make(
    "button",
    {
      type: "button",
      class: "small",
      disabled: i === 0,
      "aria-label": say("draw.up"),
      title: say("draw.up"),
      "data-hold": key + "-up",
      click: () => {
        page.drawn.splice(i - 1, 2, drawn, page.drawn[i - 1]);
        page.changed();
      },
    },
    "↑",
  );
  const remove = make(
    "button",
    {
      type: "button",
      class: "small",
      "aria-label": say("draw.remove"),
      title: say("draw.remove"),
      click: () => page.removeStructure(drawn),
    },
    "×",
  );
  return make(
    "li",
    {class: page.active === drawn ? "chosen" : ""},
    choose,
    swatch,
    name,
    make("span", {class: "ml"}, volumeText(page, layer)),
    eye,
    up,
    remove,
  );
}

/** @param {Page} page @param {import("./layers.js").Layer} layer */
function volumeText(page, layer) {
  const num = countVoxels(layer),
    ml = (num * page.measured.spacing_mm.reduce((a, b) => a * b, 1)) / 1000;
  return num ? t("draw.ml", {n: number(ml, ml < 10 ? 1 : 0)}) : t("draw.empty");
}

/** @type {WeakMap<import("./layers.js").Layer, [number, number]>} */
const counts = new WeakMap();

/**
 * Return the number of a layer's voxels, counted once for each of its states.
 * @param {import("./layers.js").Layer} layer
 */
export function countVoxels(layer) {
  const known = counts.get(layer);
  if (known?.[0] === layer.version) return known[1];
  const {
    box,
    data,
    bit,
    grid: {
      shape: [, h, w],
    },
  } = layer;
  let num = 0;
  for (let z = box.low[0]; z < box.high[0]; z++)
    for (let y = box.low[1]; y < box.high[1]; y++)
      for (let i = (z * h + y) * w + box.low[2], end = (z * h + y) * w + box.high[2]; i < end; i++)
        if (data[i] & bit) num++;
  counts.set(layer, [layer.version, num]);
  return num;
}

/** Return the words of the structure after those that are drawn: lesions first, then the anatomy. @param {Page} page */
function nextWords(page) {
  const used = page.drawn.map(d => d.words),
    words = page.state.model.structures.map(s => s.words),
    first = words.indexOf(firstWords(page));
  return [...words.slice(first), ...words.slice(0, first)].find(word => !used.includes(word)) ?? "";
}
