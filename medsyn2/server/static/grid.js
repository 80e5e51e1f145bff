// @ts-check
/**
 * Voxels in space. Arrays are (depth, height, width): towards the head, the back and the patient's left, as
 * everywhere in MedSyn2. A point in millimetres is given along the same axes, so that index = (mm - origin) / spacing
 * on each.
 */

/** @typedef {[number, number, number]} Triple along (depth, height, width) */
/** @typedef {{low: Triple, high: Triple}} Box indices; `high` is the first that is outside */
/** @typedef {{shape: Triple, spacing_mm: Triple, origin_mm: Triple}} Grid */
/** @typedef {0 | 1 | 2} Axis */

/** @type {readonly Axis[]} */
export const AXES = [0, 1, 2];

/**
 * Return the grid of a header. The server sends volumes along the patient's axes only.
 * @param {{shape: number[], affine: number[][]}} header
 * @returns {Grid}
 */
export function gridOf(header) {
  const at = (/** @type {Axis} */ a) => header.affine[2 - a];
  return {
    shape: /** @type {Triple} */ ([...header.shape]),
    spacing_mm: [at(0)[0], at(1)[1], at(2)[2]],
    origin_mm: [at(0)[3], at(1)[3], at(2)[3]],
  };
}

/** @param {Grid} grid */
export function numVoxels({shape: [d, h, w]}) {
  return d * h * w;
}

/**
 * Return where a point lies among the indices; whole numbers are centres of voxels.
 * @param {Grid} grid @param {Triple} mm @returns {Triple}
 */
export function indexOf(grid, mm) {
  return each(a => (mm[a] - grid.origin_mm[a]) / grid.spacing_mm[a]);
}

/** @param {Grid} grid @param {Triple} index @returns {Triple} */
export function mmOf(grid, index) {
  return each(a => grid.origin_mm[a] + index[a] * grid.spacing_mm[a]);
}

/**
 * Return the voxel that holds a point, or the nearest one.
 * @param {Grid} grid @param {Triple} mm @returns {Triple}
 */
export function voxelOf(grid, mm) {
  const at = indexOf(grid, mm);
  return each(a => Math.max(0, Math.min(grid.shape[a] - 1, Math.round(at[a]))));
}

/** @param {Grid} grid @param {Triple} mm */
export function isInside(grid, mm) {
  return indexOf(grid, mm).every((at, a) => at >= -0.5 && at < grid.shape[a] - 0.5);
}

/** @param {Grid} grid @returns {Triple} */
export function middleOf(grid) {
  return mmOf(
    grid,
    each(a => (grid.shape[a] - 1) / 2),
  );
}

/** @param {Grid} a @param {Grid} b */
export function isSameGrid(a, b) {
  const near = (/** @type {Triple} */ u, /** @type {Triple} */ v) => u.every((x, i) => Math.abs(x - v[i]) < 1e-3);
  return near(a.shape, b.shape) && near(a.spacing_mm, b.spacing_mm) && near(a.origin_mm, b.origin_mm);
}

/** @param {(axis: Axis) => number} value @returns {Triple} */
export function each(value) {
  return [value(0), value(1), value(2)];
}

/** @returns {Box} */
export function emptyBox() {
  return {low: [Infinity, Infinity, Infinity], high: [0, 0, 0]};
}

/** @param {Box} box */
export function isEmpty(box) {
  return box.low.some((low, a) => low >= box.high[a]);
}

/** @param {Box} a @param {Box} b @returns {Box} */
export function union(a, b) {
  if (isEmpty(a)) return isEmpty(b) ? emptyBox() : b;
  if (isEmpty(b)) return a;
  return {low: each(i => Math.min(a.low[i], b.low[i])), high: each(i => Math.max(a.high[i], b.high[i]))};
}

/**
 * Return the part of a box that lies on the grid.
 * @param {Box} box @param {Triple} shape @returns {Box}
 */
export function clip(box, shape) {
  return {low: each(a => Math.max(0, box.low[a])), high: each(a => Math.min(shape[a], box.high[a]))};
}

/** @param {Box} box @returns {Triple} */
export function sizeOf(box) {
  return each(a => Math.max(0, box.high[a] - box.low[a]));
}
