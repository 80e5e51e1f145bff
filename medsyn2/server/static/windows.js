// @ts-check
/**
 * Windows: which HU are black and white. The four are the paper's, as in `medsyn2.vocabulary`. A table has a colour
 * for each of the 65,536 values of an int16, so that a change of the window costs that many sums and not one a voxel.
 */

/** @typedef {readonly [number, number]} Limits lower and upper HU */

/** @type {Readonly<Record<string, Limits>>} */
export const WINDOWS_HU = {lung: [-1350, 150], soft_tissue: [-125, 225], vessel: [-250, 450], bone: [-700, 1300]};

/** Limits of differences: noise of two seeds is some tens of HU, a lesion against lung some hundreds. */
export const DIFFERENCE_HU = 200;

/** HU of width and of level for a pixel of dragging. */
const DRAG_HU = 3;

/**
 * Fill a table with greys; bytes are red, green, blue, alpha.
 * @param {Uint32Array} table @param {Limits} limits
 */
export function fillGreys(table, [low, high]) {
  const scale = 255 / Math.max(1, high - low);
  const first = Math.max(-32768, Math.ceil(low)),
    last = Math.min(32767, Math.floor(high));
  table.fill(0xff000000);
  table.fill(0xffffffff, Math.max(0, last), 32768);
  if (last < 0) table.fill(0xffffffff, last & 65535);
  for (let hu = first; hu <= last; hu++) table[hu & 65535] = 0xff000000 | (Math.round((hu - low) * scale) * 0x010101);
}

/**
 * Fill a table for differences: blue below zero, black at zero, orange above, the same on both sides.
 * @param {Uint32Array} table @param {number} limit_hu
 */
export function fillDifferences(table, limit_hu) {
  for (let hu = -32768; hu < 32768; hu++) {
    const t = Math.min(1, Math.abs(hu) / limit_hu),
      [r, g, b] = hu < 0 ? [70, 150, 255] : [255, 160, 40];
    table[hu & 65535] = 0xff000000 | (Math.round(b * t) << 16) | (Math.round(g * t) << 8) | Math.round(r * t);
  }
}

/**
 * Return the limits after a drag: right widens, down darkens.
 * @param {Limits} limits @param {number} dx @param {number} dy @returns {Limits}
 */
export function dragLimits([low, high], dx, dy) {
  const width = Math.max(10, high - low + DRAG_HU * dx),
    level = (low + high) / 2 + DRAG_HU * dy;
  return [level - width / 2, level + width / 2];
}
