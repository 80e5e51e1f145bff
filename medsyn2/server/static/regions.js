// @ts-check
/**
 * Connected regions: the part of a mask under the pointer, which is moved or scaled alone, and the inside of a closed
 * outline in a slice, which is filled. Neighbours share a face or, in a slice, an edge.
 */
import {each, sizeOf} from "./grid.js";
import {fill} from "./shapes.js";
import {reader} from "./layers.js";

/** @typedef {import("./grid.js").Triple} Triple */
/** @typedef {import("./grid.js").Axis} Axis */
/** @typedef {import("./layers.js").Piece} Piece */
/** @typedef {import("./layers.js").Layer} Layer */

/**
 * Split a piece into the part that is connected with a voxel, and the rest. Both keep the box.
 * @param {Piece} piece @param {Triple} voxel @returns {{part: Piece, rest: Piece} | null} null if the voxel is not in
 * the mask
 */
export function splitPiece(piece, voxel) {
  if (!reader(piece)(...voxel)) return null;
  const {box} = piece,
    [d, h, w] = sizeOf(box),
    rest = piece.bits.slice(),
    part = new Uint8Array(rest.length);
  const [z0, y0, x0] = each(a => voxel[a] - box.low[a]),
    open = [(z0 * h + y0) * w + x0];
  const take = (/** @type {number} */ i) => {
    rest[i] = 0;
    part[i] = 1;
    open.push(i);
  };
  take(/** @type {number} */ (open.pop()));
  while (open.length) {
    const i = /** @type {number} */ (open.pop()),
      x = i % w,
      y = Math.floor(i / w) % h,
      z = Math.floor(i / (h * w));
    if (x > 0 && rest[i - 1]) take(i - 1);
    if (x < w - 1 && rest[i + 1]) take(i + 1);
    if (y > 0 && rest[i - w]) take(i - w);
    if (y < h - 1 && rest[i + w]) take(i + w);
    if (z > 0 && rest[i - h * w]) take(i - h * w);
    if (z < d - 1 && rest[i + h * w]) take(i + h * w);
  }
  return {part: {box, bits: part}, rest: {box, bits: rest}};
}

/**
 * Join two pieces.
 * @param {Piece} one @param {Piece} two @returns {Piece}
 */
export function joinPieces(one, two) {
  const filled = [one, two].filter(piece => piece.bits.length);
  if (filled.length < 2) return filled[0] ?? one;
  const box = {
    low: each(a => Math.min(one.box.low[a], two.box.low[a])),
    high: each(a => Math.max(one.box.high[a], two.box.high[a])),
  };
  const isOne = reader(one),
    isTwo = reader(two);
  return fill(box, (z, y, x) => isOne(z, y, x) || isTwo(z, y, x));
}

/**
 * Return the empty region of a slice about a voxel that the mask's outline closes, or null if it is open to the
 * slice's border.
 * @param {Layer} layer @param {Triple} voxel @param {Axis} axis @returns {Piece | null}
 */
export function enclosedRegion({grid: {shape}, data, bit}, voxel, axis) {
  const [b, c] = /** @type {Axis[]} */ ([0, 1, 2].filter(a => a !== axis)),
    strides = [shape[1] * shape[2], shape[2], 1];
  const start = voxel[axis] * strides[axis],
    bits = new Uint8Array(shape[b] * shape[c]),
    open = [voxel[b] * shape[c] + voxel[c]];
  const isFree = (/** @type {number} */ p) =>
    !bits[p] && !(data[start + Math.floor(p / shape[c]) * strides[b] + (p % shape[c]) * strides[c]] & bit);
  if (!isFree(open[0])) return null;
  bits[open[0]] = 1;
  while (open.length) {
    const p = /** @type {number} */ (open.pop()),
      row = Math.floor(p / shape[c]),
      column = p % shape[c];
    if (row === 0 || column === 0 || row === shape[b] - 1 || column === shape[c] - 1) return null;
    for (const q of [p - 1, p + 1, p - shape[c], p + shape[c]])
      if (isFree(q)) {
        bits[q] = 1;
        open.push(q);
      }
  }
  return {
    box: {low: each(a => (a === axis ? voxel[a] : 0)), high: each(a => (a === axis ? voxel[a] + 1 : shape[a]))},
    bits,
  };
}
