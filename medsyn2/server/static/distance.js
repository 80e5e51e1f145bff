// @ts-check
/**
 * Exact squared distances by Felzenszwalb and Huttenlocher's lower envelope of parabolas, an axis at a time: the
 * distance of each voxel to the nearest one that is 0, centre to centre, in millimetres.
 */
import {AXES} from "./grid.js";

/** @typedef {import("./grid.js").Triple} Triple */

// Larger than any squared distance in a body, and small enough that sums stay exact enough in 32 bits.
const FAR = 1e12;

/**
 * Return the squared distance in mm to the nearest zero; FAR if there is none.
 * @param {Uint8Array} bits @param {Triple} shape @param {Triple} spacing_mm @returns {Float32Array}
 */
export function squaredDistances(bits, shape, spacing_mm) {
  const squares = new Float32Array(bits.length);
  for (let i = 0; i < bits.length; i++) squares[i] = bits[i] ? FAR : 0;
  const strides = [shape[1] * shape[2], shape[2], 1];
  for (const a of AXES) {
    const [b, c] = AXES.filter(other => other !== a),
      line = lineOf(shape[a], spacing_mm[a]);
    if (shape[a] > 1)
      for (let i = 0; i < shape[b]; i++)
        for (let j = 0; j < shape[c]; j++) line(squares, i * strides[b] + j * strides[c], strides[a]);
  }
  return squares;
}

/** @param {number} num @param {number} step_mm */
function lineOf(num, step_mm) {
  const f = new Float64Array(num),
    tops = new Int32Array(num),
    bounds = new Float64Array(num + 1),
    square = step_mm * step_mm;
  return (/** @type {Float32Array} */ data, /** @type {number} */ start, /** @type {number} */ stride) => {
    for (let q = 0; q < num; q++) f[q] = data[start + q * stride] / square;
    let k = 0;
    tops[0] = 0;
    bounds[0] = -Infinity;
    bounds[1] = Infinity;
    for (let q = 1; q < num; q++) {
      let s = meet(f, q, tops[k]);
      while (s <= bounds[k]) s = meet(f, q, tops[--k]);
      tops[++k] = q;
      bounds[k] = s;
      bounds[k + 1] = Infinity;
    }
    k = 0;
    for (let q = 0; q < num; q++) {
      while (bounds[k + 1] < q) k++;
      data[start + q * stride] = ((q - tops[k]) ** 2 + f[tops[k]]) * square;
    }
  };
}

/** @param {Float64Array} f @param {number} q @param {number} v */
function meet(f, q, v) {
  return (f[q] + q * q - f[v] - v * v) / (2 * (q - v));
}
