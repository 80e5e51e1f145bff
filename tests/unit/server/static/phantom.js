import {Bank, cutPiece, putPiece} from "../../../../medsyn2/server/static/layers.js";
import {each} from "../../../../medsyn2/server/static/grid.js";
import {fill} from "../../../../medsyn2/server/static/shapes.js";

/** Voxels that are not cubes, and no size twice: mistaken axes show. */
export const GRID = {shape: [20, 26, 31], spacing_mm: [5, 3, 2], origin_mm: [-50, -40, -30]};

export function wholeBox({shape}) {
  return {low: [0, 0, 0], high: [...shape]};
}

export function layerOf(is, grid = GRID) {
  const layer = new Bank(grid).take();
  putPiece(layer, fill(wholeBox(grid), is));
  return layer;
}

/** A ball about a voxel, told by a formula of its own. */
export function ball(centre, radius_mm, grid = GRID) {
  return (...v) => Math.hypot(...each(a => (v[a] - centre[a]) * grid.spacing_mm[a])) <= radius_mm;
}

export function voxels(layer) {
  const {
      shape: [d, h, w],
    } = layer.grid,
    found = [];
  for (let z = 0; z < d; z++)
    for (let y = 0; y < h; y++)
      for (let x = 0; x < w; x++) if (layer.data[(z * h + y) * w + x] & layer.bit) found.push([z, y, x]);
  return found;
}

export function pieceVoxels(piece, grid = GRID) {
  const layer = new Bank(grid).take();
  putPiece(layer, piece);
  return voxels(layer);
}

export function piece(is, grid = GRID) {
  return cutPiece(layerOf(is, grid));
}
