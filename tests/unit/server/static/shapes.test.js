import assert from "node:assert/strict";
import {test} from "node:test";
import {squaredDistances} from "../../../../medsyn2/server/static/distance.js";
import {
  centreOf,
  flipPiece,
  growPiece,
  interpolatePiece,
  keepSide,
  scalePiece,
  shiftPiece,
  shrinkPiece,
} from "../../../../medsyn2/server/static/shapes.js";
import {enclosedRegion, joinPieces, splitPiece} from "../../../../medsyn2/server/static/regions.js";
import {GRID, ball, layerOf, piece, pieceVoxels, voxels} from "./phantom.js";

const LESION = (z, y, x) => ball([8, 10, 9], 12)(z, y, x) || (z === 3 && y === 4 && x === 28);
const all = voxels(layerOf(() => true));
const where = is => all.filter(v => is(...v));
const gap_mm = (u, v) => Math.hypot(...[0, 1, 2].map(a => (u[a] - v[a]) * GRID.spacing_mm[a]));

test("distances are the least over all zeros", () => {
  const shape = [4, 5, 6],
    bits = Uint8Array.from({length: 120}, (_, i) => ((i * 37) % 11 ? 1 : 0)),
    mm = [5, 3, 2];
  const place = i => [Math.floor(i / 30), Math.floor(i / 6) % 5, i % 6];
  const zeros = [...bits.keys()].filter(i => !bits[i]);
  squaredDistances(bits, shape, mm).forEach((square, i) => {
    const least = Math.min(
      ...zeros.map(j => [0, 1, 2].reduce((s, a) => s + ((place(i)[a] - place(j)[a]) * mm[a]) ** 2, 0)),
    );
    assert.ok(Math.abs(square - least) < 1e-3, `${i}: ${square}, not ${least}`);
  });
});

test("a mask grows and shrinks by millimetres", () => {
  const mask = where(LESION),
    outside = where((...v) => !LESION(...v));
  assert.deepEqual(
    pieceVoxels(growPiece(piece(LESION), GRID, 6)),
    all.filter(v => mask.some(m => gap_mm(m, v) <= 6)),
  );
  assert.deepEqual(
    pieceVoxels(shrinkPiece(piece(LESION), GRID, 4)),
    mask.filter(m => outside.every(v => gap_mm(m, v) > 4)),
  );
});

test("a mask that fills the grid has no outside to shrink from", () => {
  assert.equal(
    pieceVoxels(
      shrinkPiece(
        piece(() => true),
        GRID,
        4,
      ),
    ).length,
    all.length,
  );
});

test("left and right change places about the middle plane", () => {
  assert.deepEqual(
    pieceVoxels(flipPiece(piece(LESION), GRID)),
    where((z, y, x) => LESION(z, y, 30 - x)),
  );
});

test("a side is the patient's, and a middle plane belongs to neither", () => {
  const wide = (z, y, x) => z === 5 && y === 5;
  assert.deepEqual(
    pieceVoxels(keepSide(piece(wide), GRID, "left")).map(v => v[2]),
    Array.from({length: 15}, (_, i) => 16 + i),
  );
  assert.deepEqual(
    pieceVoxels(keepSide(piece(wide), GRID, "right")).map(v => v[2]),
    Array.from({length: 15}, (_, i) => i),
  );
  assert.equal(pieceVoxels(keepSide(piece(LESION), GRID, "left")).length, 1);
});

test("a shift loses what leaves the grid", () => {
  assert.deepEqual(
    pieceVoxels(shiftPiece(piece(LESION), [-6, 2, 5])),
    where((z, y, x) => LESION(z + 6, y - 2, x - 5)),
  );
});

test("a ball that is scaled is a ball about the same centre", () => {
  const big = scalePiece(piece(ball([9, 13, 15], 8)), GRID, 1.5);
  const share = pieceVoxels(big).length / pieceVoxels(piece(ball([9, 13, 15], 12))).length;
  assert.ok(share > 0.85 && share < 1.15, `${share}`);
  centreOf(big).forEach((at, a) => assert.ok(Math.abs(at - [9, 13, 15][a]) < 0.2));
});

test("between two discs lies their mean", () => {
  const grid = {shape: [9, 41, 41], spacing_mm: [2, 1, 1], origin_mm: [0, 0, 0]},
    disc = r => (y, x) => Math.hypot(y - 20, x - 20) <= r;
  const drawn = piece((z, y, x) => (z === 0 && disc(6)(y, x)) || (z === 8 && disc(14)(y, x)), grid);
  const filled = pieceVoxels(interpolatePiece(drawn, grid, 0), grid),
    at = z => filled.filter(v => v[0] === z).length;
  assert.ok(Math.abs(at(4) / (Math.PI * 100) - 1) < 0.06, `${at(4)}`);
  assert.deepEqual(
    [1, 2, 3, 4, 5, 6, 7, 8].map(z => at(z) > at(z - 1)),
    Array(8).fill(true),
  );
});

test("slices are interpolated along any axis", () => {
  const filled = pieceVoxels(
    interpolatePiece(
      piece((z, y, x) => (x === 4 || x === 12) && z > 3 && z < 9 && y > 5 && y < 12),
      GRID,
      2,
    ),
  );
  assert.equal(filled.length, 9 * 5 * 6);
});

test("a part under the pointer is taken alone and put back", () => {
  const {part, rest} = splitPiece(piece(LESION), [8, 10, 9]);
  assert.deepEqual(pieceVoxels(part), where(ball([8, 10, 9], 12)));
  assert.deepEqual(pieceVoxels(rest), [[3, 4, 28]]);
  assert.deepEqual(
    pieceVoxels(joinPieces(shiftPiece(rest, [1, 1, 1]), part)),
    where((...v) => ball([8, 10, 9], 12)(...v) || v.join() === "4,5,29"),
  );
  assert.equal(splitPiece(piece(LESION), [0, 0, 0]), null);
});

test("a closed outline has an inside, an open one has none", () => {
  const ring = (z, y, x) =>
    z === 5 && y >= 4 && y <= 10 && x >= 4 && x <= 12 && (y === 4 || y === 10 || x === 4 || x === 12);
  assert.equal(pieceVoxels(enclosedRegion(layerOf(ring), [5, 7, 8], 0)).length, 5 * 7);
  const open = layerOf((z, y, x) => ring(z, y, x) && !(y === 7 && x === 12));
  assert.equal(enclosedRegion(open, [5, 7, 8], 0), null);
  assert.equal(enclosedRegion(layerOf(ring), [5, 4, 4], 0), null);
});
