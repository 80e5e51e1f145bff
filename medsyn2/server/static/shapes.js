// @ts-check
/**
 * Changes of a mask as a whole: from a piece to a piece, on the mask's own grid. They mean the same as the functions of
 * `medsyn2.ct.mask_edits`: sides are told by the grid's middle plane, distances go from centre to centre.
 */
import {squaredDistances} from "./distance.js";
import {clip, each, isEmpty, sizeOf} from "./grid.js";
import {emptyPiece, reader, reboxPiece} from "./layers.js";

/** @typedef {import("./grid.js").Grid} Grid */
/** @typedef {import("./grid.js").Triple} Triple */
/** @typedef {import("./grid.js").Axis} Axis */
/** @typedef {import("./layers.js").Piece} Piece */

/**
 * Exchange left and right.
 * @param {Piece} piece @param {Grid} grid @returns {Piece}
 */
export function flipPiece({box, bits}, {shape: [, , width]}) {
  const w = box.high[2] - box.low[2],
    out = new Uint8Array(bits.length);
  for (let row = 0; row < bits.length; row += w) for (let x = 0; x < w; x++) out[row + w - 1 - x] = bits[row + x];
  return {
    box: {low: [box.low[0], box.low[1], width - box.high[2]], high: [box.high[0], box.high[1], width - box.low[2]]},
    bits: out,
  };
}

/**
 * Keep the part on one side of the patient; a plane in the middle belongs to neither.
 * @param {Piece} piece @param {Grid} grid @param {"left" | "right"} side @returns {Piece}
 */
export function keepSide(piece, {shape: [d, h, width]}, side) {
  const half =
    side === "left"
      ? {low: each(a => (a === 2 ? Math.floor(width / 2) + (width % 2) : 0)), high: each(a => [d, h, width][a])}
      : {low: each(() => 0), high: each(a => (a === 2 ? Math.floor(width / 2) : [d, h][a]))};
  const box = {
    low: each(a => Math.max(piece.box.low[a], half.low[a])),
    high: each(a => Math.min(piece.box.high[a], half.high[a])),
  };
  return isEmpty(box) ? emptyPiece() : reboxPiece(piece, box);
}

/**
 * Shift by whole voxels; what leaves the grid is lost when the piece is put down.
 * @param {Piece} piece @param {Triple} by @returns {Piece}
 */
export function shiftPiece({box, bits}, by) {
  return {box: {low: each(a => box.low[a] + by[a]), high: each(a => box.high[a] + by[a])}, bits};
}

/**
 * Enlarge or shrink about the centre of mass; `factor` multiplies each length.
 * @param {Piece} piece @param {Grid} grid @param {number} factor @returns {Piece}
 */
export function scalePiece(piece, grid, factor) {
  if (isEmpty(piece.box)) return piece;
  const centre = centreOf(piece),
    is = reader(piece);
  const to = (/** @type {Triple} */ p) => each(a => centre[a] + (p[a] - centre[a]) * factor);
  const box = clip(
    {low: each(a => Math.floor(to(piece.box.low)[a]) - 1), high: each(a => Math.ceil(to(piece.box.high)[a]) + 1)},
    grid.shape,
  );
  if (isEmpty(box)) return emptyPiece();
  const back = each(() => 0).map((_, a) =>
    Int32Array.from({length: sizeOf(box)[a]}, (_, i) => Math.round(centre[a] + (box.low[a] + i - centre[a]) / factor)),
  );
  return fill(box, (z, y, x) => is(back[0][z - box.low[0]], back[1][y - box.low[1]], back[2][x - box.low[2]]));
}

/**
 * Take in the voxels at most `by_mm` from one of the mask's.
 * @param {Piece} piece @param {Grid} grid @param {number} by_mm @returns {Piece}
 */
export function growPiece(piece, grid, by_mm) {
  if (isEmpty(piece.box)) return piece;
  const reach = each(a => Math.floor(by_mm / grid.spacing_mm[a]) + 1);
  const box = clip(
    {low: each(a => piece.box.low[a] - reach[a]), high: each(a => piece.box.high[a] + reach[a])},
    grid.shape,
  );
  const {bits} = reboxPiece(piece, box);
  for (let i = 0; i < bits.length; i++) bits[i] ^= 1;
  const squares = squaredDistances(bits, sizeOf(box), grid.spacing_mm),
    limit = by_mm * by_mm * (1 + 1e-6);
  for (let i = 0; i < bits.length; i++) bits[i] = squares[i] <= limit ? 1 : 0;
  return {box, bits};
}

/**
 * Keep the voxels farther than `by_mm` from every voxel outside; beyond the grid there is no outside.
 * @param {Piece} piece @param {Grid} grid @param {number} by_mm @returns {Piece}
 */
export function shrinkPiece(piece, grid, by_mm) {
  if (isEmpty(piece.box)) return piece;
  const box = clip({low: each(a => piece.box.low[a] - 1), high: each(a => piece.box.high[a] + 1)}, grid.shape);
  const {bits} = reboxPiece(piece, box),
    squares = squaredDistances(bits, sizeOf(box), grid.spacing_mm);
  const limit = by_mm * by_mm * (1 + 1e-6);
  for (let i = 0; i < bits.length; i++) bits[i] = squares[i] > limit ? 1 : 0;
  return {box, bits};
}

/**
 * Fill the slices between those that are drawn: the outline runs straight from one to the next, by signed distance
 * (Raya and Udupa's shape-based interpolation).
 * @param {Piece} piece @param {Grid} grid @param {Axis} axis @returns {Piece}
 */
export function interpolatePiece(piece, grid, axis) {
  if (isEmpty(piece.box)) return piece;
  const low = each(a => (a === axis ? piece.box.low[a] : Math.max(0, piece.box.low[a] - 1)));
  const high = each(a => (a === axis ? piece.box.high[a] : Math.min(grid.shape[a], piece.box.high[a] + 1)));
  const {box, bits} = reboxPiece(piece, {low, high}),
    size = sizeOf(box),
    [b, c] = /** @type {Axis[]} */ ([0, 1, 2].filter(a => a !== axis));
  const strides = [size[1] * size[2], size[2], 1],
    at = (/** @type {number} */ i, /** @type {number} */ p) =>
      i * strides[axis] + Math.floor(p / size[c]) * strides[b] + (p % size[c]) * strides[c];
  const slice = (/** @type {number} */ i) => Uint8Array.from({length: size[b] * size[c]}, (_, p) => bits[at(i, p)]);
  const drawn = Array.from({length: size[axis]}, (_, i) => i).filter(i => slice(i).includes(1));
  const signed = (/** @type {Uint8Array} */ flat) =>
    signedDistances(flat, [1, size[b], size[c]], [1, grid.spacing_mm[b], grid.spacing_mm[c]]);
  drawn.slice(1).forEach((end, k) => {
    const start = drawn[k];
    if (end === start + 1) return;
    const one = signed(slice(start)),
      two = signed(slice(end));
    for (let i = start + 1; i < end; i++) {
      const t = (i - start) / (end - start);
      for (let p = 0; p < one.length; p++) bits[at(i, p)] = one[p] * (1 - t) + two[p] * t > 0 ? 1 : 0;
    }
  });
  return {box, bits};
}

/** @param {Uint8Array} bits @param {Triple} shape @param {Triple} spacing_mm */
function signedDistances(bits, shape, spacing_mm) {
  const inside = squaredDistances(bits, shape, spacing_mm),
    outside = squaredDistances(
      bits.map(v => 1 - v),
      shape,
      spacing_mm,
    );
  return inside.map((square, i) => (bits[i] ? Math.sqrt(square) : -Math.sqrt(outside[i])));
}

/**
 * Return the centre of mass, in indices of the grid.
 * @param {Piece} piece @returns {Triple}
 */
export function centreOf({box, bits}) {
  const [, h, w] = sizeOf(box),
    sums = [0, 0, 0];
  let num = 0;
  bits.forEach((v, i) => {
    if (v) {
      num++;
      sums[0] += Math.floor(i / (h * w));
      sums[1] += Math.floor(i / w) % h;
      sums[2] += i % w;
    }
  });
  return each(a => box.low[a] + sums[a] / num);
}

/**
 * @param {import("./grid.js").Box} box @param {(z: number, y: number, x: number) => boolean} is
 * @returns {Piece}
 */
export function fill(box, is) {
  const [d, h, w] = sizeOf(box),
    bits = new Uint8Array(d * h * w);
  let o = 0;
  for (let z = box.low[0]; z < box.high[0]; z++)
    for (let y = box.low[1]; y < box.high[1]; y++)
      for (let x = box.low[2]; x < box.high[2]; x++) bits[o++] = is(z, y, x) ? 1 : 0;
  return {box, bits};
}
