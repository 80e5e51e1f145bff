// @ts-check
/**
 * The brush: a ball of a radius in millimetres about a point, or its disc in one slice, that sets or clears a layer's
 * voxels. A voxel belongs to the ball if its centre does; the voxel under the point always does, so that no click is
 * without effect.
 */
import {clip, each, emptyBox, indexOf, isInside, union, voxelOf} from "./grid.js";

/** @typedef {import("./grid.js").Triple} Triple */
/** @typedef {import("./grid.js").Axis} Axis */
/** @typedef {import("./layers.js").Layer} Layer */
/**
 * @typedef {object} Tip
 * @property {number} radius_mm
 * @property {Triple} spacing_mm of the layer's voxels, as the radius is measured
 * @property {boolean} erases
 * @property {Axis | null} axis of the only slice that is painted; null paints in three dimensions
 * @property {((z: number, y: number, x: number) => boolean) | null} takes says which voxels may be set; null takes all
 */

/** A stroke from pen down to pen up. It remembers the voxels that it flips, each once. */
export class Stroke {
  /** @param {Layer} layer @param {Tip} tip */
  constructor(layer, tip) {
    this.layer = layer;
    this.tip = tip;
    this.flips = new Uint32Array(4096);
    this.num = 0;
    this.box = emptyBox();
    /** @type {Triple | null} */
    this.last = null;
  }

  /**
   * Paint from the last point to this one.
   * @param {Triple} mm
   */
  to(mm) {
    const from = this.last ?? mm,
      far = Math.hypot(...each(a => mm[a] - from[a]));
    const step = Math.max(this.tip.radius_mm / 3, Math.min(...this.layer.grid.spacing_mm));
    const num = Math.max(1, Math.ceil(far / step));
    for (let k = this.last ? 1 : num; k <= num; k++) this.stamp(each(a => from[a] + ((mm[a] - from[a]) * k) / num));
    this.last = mm;
    this.layer.version++;
  }

  /** @param {Triple} mm */
  stamp(mm) {
    const {grid} = this.layer,
      {radius_mm, spacing_mm, axis} = this.tip,
      at = indexOf(grid, mm),
      [cz, cy, cx] = voxelOf(grid, mm);
    const reach = each(a => radius_mm / spacing_mm[a]);
    const box = clip(
      {low: each(a => Math.ceil(at[a] - reach[a])), high: each(a => Math.floor(at[a] + reach[a]) + 1)},
      grid.shape,
    );
    if (axis !== null) {
      box.low[axis] = [cz, cy, cx][axis];
      box.high[axis] = box.low[axis] + 1;
    }
    const centre = each(a => (a === axis ? [cz, cy, cx][a] : at[a]));
    for (let z = box.low[0]; z < box.high[0]; z++) {
      const dz = ((z - centre[0]) / reach[0]) ** 2;
      for (let y = box.low[1]; y < box.high[1]; y++) {
        const rest = 1 - dz - ((y - centre[1]) / reach[1]) ** 2;
        if (rest < 0) continue;
        const half = Math.sqrt(rest) * reach[2];
        this.span(
          z,
          y,
          Math.max(box.low[2], Math.ceil(centre[2] - half)),
          Math.min(box.high[2], Math.floor(centre[2] + half) + 1),
        );
      }
    }
    if (isInside(grid, mm)) this.span(cz, cy, cx, cx + 1);
  }

  /** @param {number} z @param {number} y @param {number} start @param {number} end */
  span(z, y, start, end) {
    if (start >= end) return;
    const {
        data,
        bit,
        grid: {
          shape: [, h, w],
        },
      } = this.layer,
      {erases, takes} = this.tip,
      row = (z * h + y) * w;
    let low = end,
      high = start;
    for (let x = start; x < end; x++) {
      const is = (data[row + x] & bit) !== 0;
      if (is !== erases || (takes && !takes(z, y, x))) continue;
      data[row + x] ^= bit;
      this.remember(row + x);
      low = Math.min(low, x);
      high = x + 1;
    }
    if (low >= high) return;
    this.box = union(this.box, {low: [z, y, low], high: [z + 1, y + 1, high]});
    if (!erases) this.layer.box = union(this.layer.box, this.box);
  }

  /** @param {number} index */
  remember(index) {
    if (this.num === this.flips.length) {
      const more = new Uint32Array(this.num * 2);
      more.set(this.flips);
      this.flips = more;
    }
    this.flips[this.num++] = index;
  }

  /** Return the flipped voxels as spans, for undo. */
  spans() {
    const sorted = this.flips.slice(0, this.num).sort(),
      spans = [];
    for (let i = 0; i < sorted.length; ) {
      let j = i + 1;
      while (j < sorted.length && sorted[j] === sorted[j - 1] + 1) j++;
      spans.push(sorted[i], j - i);
      i = j;
    }
    return Uint32Array.from(spans);
  }
}
