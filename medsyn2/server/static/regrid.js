// @ts-check
/**
 * Volumes of different voxels at one place: the mean of a volume over the voxels of another grid. A scan's slice of 0.7
 * mm and a model's of 5 mm differ everywhere; their means over the same voxels differ where the volumes do.
 */
import {each, isSameGrid} from "./grid.js";

/** @typedef {import("./grid.js").Grid} Grid */
/** @typedef {import("./grid.js").Axis} Axis */
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
 * Return a volume on a grid that it covers, by the means; the volume itself if the grid is its own. All slices are made
 * at once, in the order of the memory: a sagittal one alone would pass through as many lines of it.
 * @param {Voxels} volume @param {Grid} grid @returns {Voxels}
 */
export function regrid(volume, grid) {
  if (isSameGrid(volume.grid, grid)) return volume;
  const {grid: own, hu} = volume,
    [zs, ys, xs] = [spansOf(grid, own, 0), spansOf(grid, own, 1), spansOf(grid, own, 2)],
    [depth, height, width] = grid.shape,
    [, h, w] = own.shape,
    means = new Int16Array(depth * height * width),
    sums = new Float64Array(width);
  let o = 0;
  for (let z = 0; z < depth; z++)
    for (let y = 0; y < height; y++) {
      sums.fill(0);
      for (let k = zs.low[z]; k < zs.high[z]; k++)
        for (let j = ys.low[y]; j < ys.high[y]; j++) addRow(hu, (k * h + j) * w, xs, sums);
      const rows = (zs.high[z] - zs.low[z]) * (ys.high[y] - ys.low[y]);
      for (let x = 0; x < width; x++) means[o++] = Math.round(sums[x] / (rows * (xs.high[x] - xs.low[x])));
    }
  return {grid, hu: means};
}

/** @param {Int16Array} hu @param {number} start @param {Spans} spans @param {Float64Array} sums */
function addRow(hu, start, {low, high}, sums) {
  for (let x = 0; x < sums.length; x++) {
    let sum = 0;
    for (let i = start + low[x], end = start + high[x]; i < end; i++) sum += hu[i];
    sums[x] += sum;
  }
}
