// @ts-check
/**
 * Volumes of different voxels at one place: the mean of a volume over the voxels of another grid. A scan's slice of 0.7
 * mm and a model's of 5 mm differ everywhere; their means over the same voxels differ where the volumes do.
 */
import {each} from "./grid.js";

/** @typedef {import("./grid.js").Grid} Grid */
/** @typedef {import("./grid.js").Axis} Axis */
/** @typedef {import("./grid.js").Triple} Triple */
/** @typedef {import("./planes.js").Plane} Plane */
/** @typedef {import("./planes.js").Voxels} Voxels */
/** @typedef {{low: Int32Array, high: Int32Array}} Spans for each index: the first of the other grid, and after the last */

/**
 * Return the coarser of two grids along each axis, as far as both reach; null if they have nothing in common.
 * @param {Grid} a @param {Grid} b @returns {Grid | null}
 */
export function sharedGrid(a, b) {
  const shape = each(() => 0),
    spacing_mm = each(() => 0),
    origin_mm = each(() => 0);
  for (const axis of /** @type {const} */ ([0, 1, 2])) {
    const [coarse, other] = b.spacing_mm[axis] > a.spacing_mm[axis] + 1e-3 ? [b, a] : [a, b],
      step = coarse.spacing_mm[axis],
      first = other.origin_mm[axis] - other.spacing_mm[axis] / 2 - coarse.origin_mm[axis],
      low = Math.max(0, Math.ceil(first / step)),
      last = (first + other.shape[axis] * other.spacing_mm[axis]) / step,
      high = Math.min(coarse.shape[axis], Math.floor(last) + 1);
    if (low >= high) return null;
    shape[axis] = high - low;
    spacing_mm[axis] = step;
    origin_mm[axis] = coarse.origin_mm[axis] + low * step;
  }
  return {shape, spacing_mm, origin_mm};
}

/**
 * Return, for each index of `from`, the voxels of `to` whose centres lie in it: the one around its centre if none does,
 * and none beyond `to`.
 * @param {Grid} from @param {Grid} to @param {Axis} a @returns {Spans}
 */
export function spansOf(from, to, a) {
  const num = from.shape[a],
    low = new Int32Array(num),
    high = new Int32Array(num),
    half = from.spacing_mm[a] / to.spacing_mm[a] / 2;
  for (let i = 0; i < num; i++) {
    const at = (from.origin_mm[a] + i * from.spacing_mm[a] - to.origin_mm[a]) / to.spacing_mm[a];
    low[i] = Math.max(0, Math.min(Math.ceil(at - half), Math.round(at)));
    high[i] = Math.min(to.shape[a], Math.max(Math.ceil(at + half), Math.round(at) + 1));
  }
  return {low, high};
}

/**
 * Return a function that gives the mean HU of a volume in a voxel of a grid; beyond the volume it is no number.
 * @param {Voxels} volume @param {Grid} grid @returns {(z: number, y: number, x: number) => number}
 */
export function meansOn({grid: own, hu}, grid) {
  const [zs, ys, xs] = [spansOf(grid, own, 0), spansOf(grid, own, 1), spansOf(grid, own, 2)],
    [, h, w] = own.shape;
  return (z, y, x) => {
    const x0 = xs.low[x],
      x1 = xs.high[x];
    let sum = 0,
      num = 0;
    for (let k = zs.low[z]; k < zs.high[z]; k++)
      for (let j = ys.low[y]; j < ys.high[y]; j++) {
        const row = (k * h + j) * w;
        for (let i = row + x0; i < row + x1; i++) sum += hu[i];
        num += x1 - x0;
      }
    return sum / num;
  };
}

/**
 * Read a slice of a volume on a coarser grid, in the order of `readSlice`.
 * @param {Plane} plane @param {Voxels} volume @param {Grid} grid @param {number} index @param {Int16Array} values
 */
export function readMeans(plane, volume, grid, index, values) {
  const mean = meansOn(volume, grid),
    rows = grid.shape[plane.rows],
    voxel = /** @type {Triple} */ ([index, index, index]);
  let o = 0;
  for (let r = 0; r < rows; r++) {
    voxel[plane.rows] = plane.flips ? rows - 1 - r : r;
    for (let c = 0; c < grid.shape[plane.columns]; c++) {
      voxel[plane.columns] = c;
      values[o++] = Math.round(mean(voxel[0], voxel[1], voxel[2]));
    }
  }
}
