import assert from "node:assert/strict";
import {test} from "node:test";
import {meansOn, regrid, sharedGrid, spansOf} from "../../../../medsyn2/server/static/regrid.js";
import {GRID} from "./phantom.js";

/** A grid over the same extent with `factors` as many voxels. */
function refine({shape, spacing_mm, origin_mm}, factors) {
  return {
    shape: shape.map((n, a) => n * factors[a]),
    spacing_mm: spacing_mm.map((s, a) => s / factors[a]),
    origin_mm: origin_mm.map((o, a) => o + (spacing_mm[a] / factors[a] - spacing_mm[a]) / 2),
  };
}

/** A volume whose HU are told by the place of each voxel. */
function volumeOf(grid, huAt) {
  const {
      shape: [d, h, w],
      spacing_mm: s,
      origin_mm: o,
    } = grid,
    hu = new Int16Array(d * h * w);
  let i = 0;
  for (let z = 0; z < d; z++)
    for (let y = 0; y < h; y++)
      for (let x = 0; x < w; x++) hu[i++] = Math.round(huAt(o[0] + z * s[0], o[1] + y * s[1], o[2] + x * s[2]));
  return {grid, hu};
}

const near = (a, b) => a.every((value, i) => Math.abs(value - b[i]) < 1e-9);
const FINE = refine(GRID, [3, 2, 4]);

test("the shared grid of a scan and of a model's volume is the model's", () => {
  for (const shared of [sharedGrid(GRID, FINE), sharedGrid(FINE, GRID)])
    for (const key of ["shape", "spacing_mm", "origin_mm"]) assert.ok(near(shared[key], GRID[key]), key);
  assert.deepEqual(sharedGrid(FINE, FINE), FINE);
});

test("it ends where one of the two does, and there is none where they have nothing in common", () => {
  const aside = {...FINE, origin_mm: [FINE.origin_mm[0] + 10, FINE.origin_mm[1] - 7.5, FINE.origin_mm[2]]};
  const shared = sharedGrid(GRID, aside);
  assert.deepEqual(shared.shape, [GRID.shape[0] - 2, GRID.shape[1] - 2, GRID.shape[2]]);
  assert.deepEqual(shared.origin_mm, [GRID.origin_mm[0] + 10, GRID.origin_mm[1], GRID.origin_mm[2]]);
  assert.equal(sharedGrid(GRID, {...FINE, origin_mm: [0, 500, 0]}), null);
});

test("a step of a grid takes each voxel of a finer one once, and the one around it of a coarser one", () => {
  for (const axis of [0, 1, 2]) {
    const factor = [3, 2, 4][axis],
      {low, high} = spansOf(GRID, FINE, axis);
    assert.deepEqual(
      [...low],
      Array.from(low, (_, i) => i * factor),
    );
    assert.deepEqual(
      [...high],
      Array.from(low, (_, i) => (i + 1) * factor),
    );
    const back = spansOf(FINE, GRID, axis);
    assert.deepEqual(
      [...back.low],
      Array.from(back.low, (_, i) => Math.floor(i / factor)),
    );
    assert.deepEqual(
      [...back.high],
      Array.from(back.low, (_, i) => Math.floor(i / factor) + 1),
    );
  }
});

test("means of a linear ramp are the ramp, and beyond the volume there are none", () => {
  const ramp = (z, y, x) => 12 * z - 4 * y + 8 * x,
    mean = meansOn(volumeOf(FINE, ramp), GRID);
  for (const [z, y, x] of [
    [0, 0, 0],
    [7, 11, 30],
    [19, 25, 2],
  ]) {
    const at = [z, y, x].map((i, a) => GRID.origin_mm[a] + i * GRID.spacing_mm[a]);
    assert.ok(Math.abs(mean(z, y, x) - ramp(...at)) < 0.51);
  }
  const aside = {...GRID, origin_mm: [GRID.origin_mm[0] + 500, 0, 0]};
  assert.ok(Number.isNaN(meansOn(volumeOf(FINE, ramp), aside)(0, 0, 0)));
});

test("the means of a finer copy of a volume are the volume", () => {
  const block = (z, y, x) => (z > 0 ? 300 : -700) + (y > 5 ? 40 : 0) + (x > -3 ? 9 : 0),
    coarse = volumeOf(GRID, block),
    fine = {grid: FINE, hu: new Int16Array(FINE.shape.reduce((a, b) => a * b))};
  const [d, h, w] = FINE.shape,
    [, ch, cw] = GRID.shape;
  for (let z = 0; z < d; z++)
    for (let y = 0; y < h; y++)
      for (let x = 0; x < w; x++) {
        const noise = ((x % 4) - 1.5) * 20; // of mean 0 in a coarse voxel
        const at = (Math.floor(z / 3) * ch + Math.floor(y / 2)) * cw + Math.floor(x / 4);
        fine.hu[(z * h + y) * w + x] = coarse.hu[at] + noise;
      }
  assert.deepEqual(regrid(fine, sharedGrid(fine.grid, coarse.grid)).hu, coarse.hu);
  assert.equal(regrid(coarse, sharedGrid(fine.grid, coarse.grid)), coarse);
});
