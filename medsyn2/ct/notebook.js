// @ts-check
/**
 * A volume in a notebook: the page's viewer over voxels that the document itself holds, without a server. Python puts
 * the text of this module and of those that it imports into the document.
 */
import {Bank, cutPiece} from "../server/static/layers.js";
import {each, mmOf, numVoxels, voxelOf} from "../server/static/grid.js";
import {Viewer} from "../server/static/viewer.js";
import {WINDOWS_HU} from "../server/static/windows.js";

/** @typedef {import("../server/static/grid.js").Triple} Triple */
/**
 * @typedef {object} Content
 * @property {Triple} shape of the voxels that are here
 * @property {Triple} spacing_mm
 * @property {Triple} factors voxels of the volume for one that is here, along each axis
 * @property {Triple} at voxel to begin with
 * @property {string} voxels
 * @property {string} labels a byte a voxel, the number of its mark from 1; empty without marks
 * @property {{name: string, colour: string}[]} marks
 * @property {string} window
 * @property {string} unit of the values; empty if they say nothing
 * @property {string} badge
 */

/** @param {string} text zlib's bytes in base64 */
async function inflate(text) {
  const packed = Uint8Array.from(atob(text), c => c.charCodeAt(0)),
    stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/**
 * Return HU from differences along each row, all low bytes before all high bytes.
 * @param {Uint8Array} bytes @param {number} width
 */
function sumRows(bytes, width) {
  const num = bytes.length / 2,
    hu = new Int16Array(num);
  for (let row = 0; row < num; row += width)
    for (let i = row, value = 0; i < row + width; i++) hu[i] = value += bytes[i] | (bytes[num + i] << 8);
  return hu;
}

/** @param {Content} content @param {import("../server/static/grid.js").Grid} grid */
async function readMarks({marks, labels}, grid) {
  if (!marks.length) return [];
  const bank = new Bank(grid),
    numbers = await inflate(labels),
    layers = marks.map(() => bank.take());
  numbers.forEach((number, i) => {
    if (number) layers[number - 1].data[i] |= layers[number - 1].bit;
  });
  for (const layer of layers) {
    layer.box = {low: [0, 0, 0], high: grid.shape};
    layer.box = cutPiece(layer).box;
  }
  return layers.map((layer, i) => ({layer, colour: marks[i].colour, look: /** @type {const} */ ("line")}));
}

/** @param {string} id */
function element(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`no element ${id}`);
  return found;
}

/** @param {string} text @param {() => void} act */
function addButton(text, act) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = text;
  made.addEventListener("click", act);
  element("bar").append(made);
  return made;
}

/** @param {Viewer} viewer @param {Content} content */
function setUpBar(viewer, {marks, window}) {
  const buttons = Object.entries(WINDOWS_HU).map(([name, limits]) => {
    const made = addButton(name.replace("_", " "), () => viewer.setLimits(limits));
    return {made, limits};
  });
  const show = () => {
    for (const {made, limits} of buttons)
      made.setAttribute("aria-pressed", String(limits.every((hu, i) => hu === viewer.limits[i])));
  };
  viewer.addEventListener("limits", show);
  viewer.setLimits(WINDOWS_HU[window]);
  addButton("fit", () => viewer.fit());
  for (const {name, colour} of marks) {
    const made = document.createElement("span");
    made.textContent = name;
    made.style.color = colour;
    element("bar").append(made);
  }
}

/** @param {Viewer} viewer @param {Content} content */
function setUpReadout(viewer, {factors, unit}) {
  const isReduced = factors.some(factor => factor > 1);
  const show = () => {
    const mm = viewer.hover?.mm ?? viewer.at_mm,
      hu = viewer.valuesAt(mm).main,
      voxel = voxelOf(viewer.stepGrid, mm),
      place = each(a => voxel[a] * factors[a] + (factors[a] >> 1)).join(", ");
    const [low, high] = viewer.limits.map(Math.round);
    element("readout").textContent =
      (hu === null || !unit ? "" : `${hu} ${unit} ${isReduced ? "around" : "at"} [${place}] · `) +
      `level ${(low + high) / 2}, width ${high - low}`;
  };
  for (const name of ["limits", "move", "hover"]) viewer.addEventListener(name, show);
  show();
}

/**
 * Let the wheel turn the notebook until one has clicked on a plane, and the keys move the crosshair.
 * @param {Viewer} viewer
 */
function setUpInput(viewer) {
  viewer.tool = {down: mm => viewer.moveTo(mm), move: mm => viewer.moveTo(mm), up: () => {}, tip: () => null};
  viewer.root.addEventListener(
    "wheel",
    event => {
      if (document.activeElement !== event.target) event.stopPropagation();
    },
    {capture: true},
  );
  for (const view of viewer.views)
    view.canvas.addEventListener("keydown", event => {
      if (viewer.obey(view, event.key)) event.preventDefault();
    });
}

async function start() {
  const content = /** @type {Content} */ (JSON.parse(element("content").textContent ?? "")),
    {shape, spacing_mm} = content,
    grid = {shape, spacing_mm, origin_mm: /** @type {Triple} */ ([0, 0, 0])},
    hu = sumRows(await inflate(content.voxels), shape[2]),
    marks = await readMarks(content, grid);
  if (hu.length !== numVoxels(grid)) throw new Error(`${hu.length} voxels for ${shape}`);
  const header = {id: "", kind: "", name: "", shape, spacing_mm, affine: []};
  const viewer = new Viewer(grid, element("planes"), {
    label: ({plane}, index, num) => `${plane.name} ${index + 1} of ${num}`,
    badge: () => content.badge,
  });
  viewer.marks = () => marks;
  viewer.at_mm = mmOf(grid, content.at);
  viewer.setMain({id: "", header, grid, hu});
  setUpInput(viewer);
  setUpBar(viewer, content);
  setUpReadout(viewer, content);
  // Until here the picture of those who run no script shows through.
  document.documentElement.dataset.ready = "true";
}

start();
