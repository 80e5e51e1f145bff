// @ts-check
/**
 * Layers: masks on one grid, each a bit of a shared array, so that eight cost a byte a voxel and may overlap. A layer
 * knows a box that holds it, so that drawing and changing it cost as much as it is large. Every change answers with
 * the voxels that it flipped, as pairs (first index, length): flipping them again takes the change back.
 */
import {clip, each, emptyBox, isEmpty, numVoxels, sizeOf, union} from "./grid.js";
import {decodeRuns, encodeRuns} from "./runs.js";

/** @typedef {import("./grid.js").Grid} Grid */
/** @typedef {import("./grid.js").Box} Box */
/** @typedef {import("./grid.js").Triple} Triple */
/** @typedef {{box: Box, bits: Uint8Array}} Piece a mask within a box, a byte (0 or 1) a voxel of it */
/** @typedef {{grid: Grid, data: Uint8Array, bit: number, box: Box, version: number}} Layer */

/** Hands out bits of as few arrays as possible. */
export class Bank {
  /** @param {Grid} grid */
  constructor(grid) {
    this.grid = grid;
    /** @type {{data: Uint8Array, used: number}[]} */
    this.arrays = [];
  }

  /** @returns {Layer} */
  take() {
    let place = this.arrays.find(a => a.used !== 255);
    if (!place) this.arrays.push((place = {data: new Uint8Array(numVoxels(this.grid)), used: 0}));
    const bit = ~place.used & (place.used + 1);
    place.used |= bit;
    return {grid: this.grid, data: place.data, bit, box: emptyBox(), version: 0};
  }

  /** @param {Layer} layer */
  giveBack(layer) {
    putPiece(layer, emptyPiece());
    const place = this.arrays.find(a => a.data === layer.data);
    if (place) place.used &= ~layer.bit;
  }
}

/** @returns {Piece} */
export function emptyPiece() {
  return {box: {low: [0, 0, 0], high: [0, 0, 0]}, bits: new Uint8Array(0)};
}

/**
 * Return the layer's voxels within its smallest box.
 * @param {Layer} layer @returns {Piece}
 */
export function cutPiece(layer) {
  if (isEmpty(layer.box)) return emptyPiece();
  return tighten({box: layer.box, bits: bitsWithin(layer, layer.box)});
}

/**
 * Make a piece the content of a layer, and return the voxels that this flips.
 * @param {Layer} layer @param {Piece} piece @returns {Uint32Array}
 */
export function putPiece(layer, piece) {
  const {
      grid: {
        shape: [, h, w],
      },
      data,
      bit,
    } = layer,
    next = tighten(cropPiece(piece, layer.grid.shape));
  const all = union(layer.box, next.box),
    spans = /** @type {number[]} */ ([]);
  if (isEmpty(all)) return new Uint32Array(0);
  const is = reader(next);
  for (let z = all.low[0]; z < all.high[0]; z++)
    for (let y = all.low[1]; y < all.high[1]; y++) {
      const row = (z * h + y) * w;
      let start = -1;
      for (let x = all.low[2]; x < all.high[2]; x++) {
        const flips = ((data[row + x] & bit) !== 0) !== is(z, y, x);
        if (flips) {
          data[row + x] ^= bit;
          if (start < 0) start = x;
        } else if (start >= 0) {
          spans.push(row + start, x - start);
          start = -1;
        }
      }
      if (start >= 0) spans.push(row + start, all.high[2] - start);
    }
  layer.box = isEmpty(next.box) ? emptyBox() : next.box;
  layer.version++;
  return Uint32Array.from(spans);
}

/**
 * Flip spans of voxels: undo and redo of a change.
 * @param {Layer} layer @param {Uint32Array} spans
 */
export function flipSpans(layer, spans) {
  const {
      grid: {
        shape: [, h, w],
      },
      data,
      bit,
    } = layer,
    box = emptyBox();
  for (let k = 0; k < spans.length; k += 2) {
    const start = spans[k],
      end = start + spans[k + 1],
      x = start % w,
      y = Math.floor(start / w) % h;
    for (let i = start; i < end; i++) data[i] ^= bit;
    const z = Math.floor(start / (w * h));
    box.low = each(a => Math.min(box.low[a], [z, y, x][a]));
    box.high = each(a => Math.max(box.high[a], [z + 1, y + 1, x + end - start][a]));
  }
  layer.box = union(layer.box, box);
  layer.version++;
}

/**
 * Fill a layer from runs of the server or of the draft.
 * @param {Layer} layer @param {Uint32Array} runs
 */
export function loadRuns(layer, runs) {
  decodeRuns(runs, layer.data, layer.bit);
  layer.box = {low: [0, 0, 0], high: each(a => layer.grid.shape[a])};
  const {box} = cutPiece(layer);
  layer.box = isEmpty(box) ? emptyBox() : box;
  layer.version++;
}

/** @param {Layer} layer */
export function runsOf(layer) {
  return encodeRuns(layer.data, layer.bit);
}

/** @param {Piece} piece @returns {(z: number, y: number, x: number) => boolean} */
export function reader({box: {low, high}, bits}) {
  const h = high[1] - low[1],
    w = high[2] - low[2];
  return (z, y, x) =>
    z >= low[0] &&
    z < high[0] &&
    y >= low[1] &&
    y < high[1] &&
    x >= low[2] &&
    x < high[2] &&
    bits[((z - low[0]) * h + y - low[1]) * w + x - low[2]] === 1;
}

/**
 * Return a piece in another box: cut where that is smaller, with room where it is larger.
 * @param {Piece} piece @param {Box} box @returns {Piece}
 */
export function reboxPiece(piece, box) {
  const [d, h, w] = sizeOf(box),
    bits = new Uint8Array(d * h * w),
    from = piece.box,
    [, fh, fw] = sizeOf(from);
  const low = each(a => Math.max(box.low[a], from.low[a])),
    high = each(a => Math.min(box.high[a], from.high[a]));
  if (low[2] < high[2])
    for (let z = low[0]; z < high[0]; z++)
      for (let y = low[1]; y < high[1]; y++) {
        const at = ((z - from.low[0]) * fh + y - from.low[1]) * fw - from.low[2];
        bits.set(
          piece.bits.subarray(at + low[2], at + high[2]),
          ((z - box.low[0]) * h + y - box.low[1]) * w + low[2] - box.low[2],
        );
      }
  return {box, bits};
}

/** @param {Piece} piece @param {Triple} shape @returns {Piece} */
function cropPiece(piece, shape) {
  const box = clip(piece.box, shape);
  if (isEmpty(box)) return emptyPiece();
  return each(a => Math.abs(box.low[a] - piece.box.low[a]) + Math.abs(box.high[a] - piece.box.high[a])).some(Boolean)
    ? reboxPiece(piece, box)
    : piece;
}

/**
 * Return a piece in its smallest box.
 * @param {Piece} piece @returns {Piece}
 */
export function tighten(piece) {
  const {box, bits} = piece,
    [, h, w] = sizeOf(box),
    tight = emptyBox();
  for (let row = 0; row < bits.length; row += w) {
    const first = bits.subarray(row, row + w).indexOf(1);
    if (first < 0) continue;
    const last = bits.subarray(row, row + w).lastIndexOf(1),
      line = row / w;
    const at = [box.low[0] + Math.floor(line / h), box.low[1] + (line % h)];
    tight.low = [
      Math.min(tight.low[0], at[0]),
      Math.min(tight.low[1], at[1]),
      Math.min(tight.low[2], box.low[2] + first),
    ];
    tight.high = [
      Math.max(tight.high[0], at[0] + 1),
      Math.max(tight.high[1], at[1] + 1),
      Math.max(tight.high[2], box.low[2] + last + 1),
    ];
  }
  return isEmpty(tight) ? emptyPiece() : reboxPiece(piece, tight);
}

/** @param {Layer} layer @param {Box} box */
function bitsWithin(layer, box) {
  const [d, h, w] = sizeOf(box),
    bits = new Uint8Array(d * h * w),
    [, gh, gw] = layer.grid.shape,
    {data, bit} = layer;
  let o = 0;
  for (let z = box.low[0]; z < box.high[0]; z++)
    for (let y = box.low[1]; y < box.high[1]; y++) {
      const row = (z * gh + y) * gw;
      for (let x = box.low[2]; x < box.high[2]; x++) bits[o++] = data[row + x] & bit ? 1 : 0;
    }
  return bits;
}
