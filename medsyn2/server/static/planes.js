// @ts-check
/**
 * The three planes, as radiologists hold them: the patient's right on the left of axial and coronal slices, the front
 * on top of axial ones and on the left of sagittal ones, the head on top. A slice is read in the volume's own voxels;
 * where it lies on the canvas is the lens's matter, in millimetres, so that grids of any voxel lie over each other.
 */
import {isEmpty} from "./grid.js";

/** @typedef {import("./grid.js").Axis} Axis */
/** @typedef {import("./grid.js").Grid} Grid */
/** @typedef {import("./grid.js").Triple} Triple */
/** @typedef {import("./layers.js").Layer} Layer */
/** @typedef {"axial" | "coronal" | "sagittal"} PlaneName */
/**
 * @typedef {{name: PlaneName, axis: Axis, rows: Axis, columns: Axis, flips: boolean, letters: string[]}} Plane
 * `letters`: left, right, top, bottom
 */
/** @typedef {{grid: Grid, hu: Int16Array}} Voxels */
/** @typedef {{zoom: number, centre_mm: Triple}} Lens */
/**
 * @typedef {{k: number, x: number, y: number, sign: number}} Placement pixels = x + k * column mm, y + sign * k * row
 * mm
 */

/** @type {Readonly<Record<PlaneName, Plane>>} */
export const PLANES = {
  axial: {name: "axial", axis: 0, rows: 1, columns: 2, flips: false, letters: ["R", "L", "A", "P"]},
  coronal: {name: "coronal", axis: 1, rows: 0, columns: 2, flips: true, letters: ["R", "L", "H", "F"]},
  sagittal: {name: "sagittal", axis: 2, rows: 0, columns: 1, flips: true, letters: ["A", "P", "H", "F"]},
};

/**
 * Return the first index of each row of a slice, and the step between its columns.
 * @param {Plane} plane @param {Triple} shape @param {number} index
 */
export function rowsOf(plane, shape, index) {
  const strides = [shape[1] * shape[2], shape[2], 1],
    num = shape[plane.rows],
    starts = new Uint32Array(num);
  for (let r = 0; r < num; r++)
    starts[r] = index * strides[plane.axis] + (plane.flips ? num - 1 - r : r) * strides[plane.rows];
  return {starts, step: strides[plane.columns], num: shape[plane.columns]};
}

/**
 * Read a slice of a volume. Sagittal ones lie scattered in memory, which costs more than all that is done with them.
 * @param {Plane} plane @param {Voxels} volume @param {number} index @param {Int16Array} values
 */
export function readSlice(plane, {grid, hu}, index, values) {
  const {starts, step, num} = rowsOf(plane, grid.shape, index);
  let o = 0;
  for (const start of starts) for (let i = start, end = start + num * step; i < end; i += step) values[o++] = hu[i];
}

/**
 * Colour a slice through a table of HU.
 * @param {Int16Array} values @param {Uint32Array} table @param {Uint32Array} pixels
 */
export function paintSlice(values, table, pixels) {
  for (let i = 0; i < values.length; i++) pixels[i] = table[values[i] & 65535];
}

/**
 * Colour the difference of two slices, over the second one, dimmed to a quarter.
 * @param {Int16Array} before @param {Int16Array} after @param {Uint32Array} table @param {Uint32Array} greys
 * @param {Uint32Array} pixels
 */
export function paintDifference(before, after, table, greys, pixels) {
  for (let i = 0; i < after.length; i++) {
    const difference = Math.max(-32768, Math.min(32767, after[i] - before[i]));
    pixels[i] = table[difference & 65535] | ((greys[after[i] & 65535] >>> 2) & 0x3f3f3f);
  }
}

/**
 * Return whether a layer may have voxels in a slice.
 * @param {Plane} plane @param {Layer} layer @param {number} index
 */
export function reaches({axis}, {box}, index) {
  return !isEmpty(box) && index >= box.low[axis] && index < box.high[axis];
}

/**
 * Colour the voxels in a slice of a layer that reaches it; others are left.
 * @param {Plane} plane @param {Layer} layer @param {number} index @param {number} colour @param {Uint32Array} pixels
 */
export function tintSlice(plane, {grid, data, bit, box}, index, colour, pixels) {
  const {starts, step, num} = rowsOf(plane, grid.shape, index),
    [top, bottom] = rowRange(plane, grid, box);
  for (let r = top; r < bottom; r++)
    for (let c = box.low[plane.columns]; c < box.high[plane.columns]; c++)
      if (data[starts[r] + c * step] & bit) pixels[r * num + c] = colour;
}

/**
 * Call `line` with each stretch of the outline in a slice of a layer that reaches it, in rows and columns of it.
 * @param {Plane} plane @param {Layer} layer @param {number} index
 * @param {(r0: number, c0: number, r1: number, c1: number) => void} line
 */
export function outlineSlice(plane, {grid, data, bit, box}, index, line) {
  const {starts, step, num} = rowsOf(plane, grid.shape, index),
    [top, bottom] = rowRange(plane, grid, box);
  const left = box.low[plane.columns],
    right = box.high[plane.columns];
  const is = (/** @type {number} */ r, /** @type {number} */ c) =>
    r >= top && r < bottom && c >= left && c < right && c < num && (data[starts[r] + c * step] & bit) !== 0;
  for (let r = top; r <= bottom; r++) {
    let start = -1;
    for (let c = left; c <= right; c++) {
      const edge = is(r, c) !== is(r - 1, c);
      if (edge && start < 0) start = c;
      if (!edge && start >= 0) {
        line(r, start, r, c);
        start = -1;
      }
      if (is(r, c) !== is(r, c - 1)) line(r, c, r + 1, c);
    }
  }
}

/** @param {Plane} plane @param {Grid} grid @param {import("./grid.js").Box} box */
function rowRange(plane, grid, box) {
  const num = grid.shape[plane.rows],
    low = box.low[plane.rows],
    high = box.high[plane.rows];
  return plane.flips ? [num - high, num - low] : [low, high];
}

/**
 * Return where a plane lies on a canvas: at zoom 1 the grid fits it.
 * @param {Plane} plane @param {Grid} grid @param {Lens} lens @param {{width: number, height: number}} canvas @returns
 * {Placement}
 */
export function place(plane, grid, lens, {width, height}) {
  const wide = grid.shape[plane.columns] * grid.spacing_mm[plane.columns],
    high = grid.shape[plane.rows] * grid.spacing_mm[plane.rows];
  const k = Math.min(width / wide, height / high) * lens.zoom,
    sign = plane.flips ? -1 : 1;
  return {
    k,
    sign,
    x: width / 2 - k * lens.centre_mm[plane.columns],
    y: height / 2 - sign * k * lens.centre_mm[plane.rows],
  };
}

/**
 * Return the rectangle that a grid's slice covers on the canvas, by its voxels' borders.
 * @param {Plane} plane @param {Grid} grid @param {Placement} at
 */
export function rectangle(plane, grid, at) {
  const {origin_mm: o, spacing_mm: s, shape} = grid,
    {columns, rows} = plane;
  const edge = o[rows] + (at.sign < 0 ? shape[rows] - 0.5 : -0.5) * s[rows];
  return {
    x: at.x + at.k * (o[columns] - 0.5 * s[columns]),
    y: at.y + at.sign * at.k * edge,
    w: shape[columns] * s[columns] * at.k,
    h: shape[rows] * s[rows] * at.k,
  };
}

/**
 * Return the point under a pixel, in the slice of `at_mm`.
 * @param {Plane} plane @param {Placement} at @param {Triple} at_mm @param {number} x @param {number} y @returns
 * {Triple}
 */
export function pointUnder(plane, at, at_mm, x, y) {
  const mm = /** @type {Triple} */ ([...at_mm]);
  mm[plane.columns] = (x - at.x) / at.k;
  mm[plane.rows] = (y - at.y) / (at.k * at.sign);
  return mm;
}
