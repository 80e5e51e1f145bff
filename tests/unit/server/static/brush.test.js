import assert from "node:assert/strict";
import {test} from "node:test";
import {Stroke} from "../../../../medsyn2/server/static/brush.js";
import {mmOf} from "../../../../medsyn2/server/static/grid.js";
import {Bank} from "../../../../medsyn2/server/static/layers.js";
import {Undo} from "../../../../medsyn2/server/static/undo.js";
import {GRID, ball, layerOf, voxels} from "./phantom.js";

const TIP = {spacing_mm: GRID.spacing_mm, radius_mm: 11, erases: false, axis: null, takes: null};
const empty = () => new Bank(GRID).take();
const paint = (layer, tip, ...points) => {
  const stroke = new Stroke(layer, {...TIP, ...tip});
  for (const point of points) stroke.to(mmOf(GRID, point));
  return stroke;
};

test("a ball holds the voxels whose centres are within its radius", () => {
  const layer = empty();
  paint(layer, {}, [9, 13, 15]);
  assert.deepEqual(voxels(layer), voxels(layerOf(ball([9, 13, 15], 11))));
});

test("the volume of a large ball is that of a ball", () => {
  const grid = {shape: [60, 60, 60], spacing_mm: [1, 1, 1], origin_mm: [0, 0, 0]},
    layer = new Bank(grid).take();
  new Stroke(layer, {...TIP, spacing_mm: grid.spacing_mm, radius_mm: 25}).to([29.5, 29.5, 29.5]);
  assert.ok(Math.abs(voxels(layer).length / ((4 / 3) * Math.PI * 25 ** 3) - 1) < 0.01);
});

test("a brush smaller than a voxel paints the voxel under it, and nothing beyond the grid", () => {
  const layer = empty();
  paint(layer, {radius_mm: 0.2}, [4.4, 5, 6]);
  assert.deepEqual(voxels(layer), [[4, 5, 6]]);
  paint(layer, {radius_mm: 0.2}, [4, 5, 40]);
  assert.equal(voxels(layer).length, 1);
});

test("a flat brush paints one slice", () => {
  const layer = empty();
  paint(layer, {axis: 1}, [9, 13, 15]);
  assert.deepEqual(voxels(layer), voxels(layerOf((z, y, x) => y === 13 && ball([9, 13, 15], 11)(z, y, x))));
});

test("a quick stroke has no gaps", () => {
  const layer = empty();
  paint(layer, {radius_mm: 4}, [9, 13, 3], [9, 13, 27]);
  for (let x = 3; x <= 27; x++) assert.ok(voxels(layer).some(v => v.join() === [9, 13, x].join()));
});

test("the eraser takes away, and undo and redo give every bit back", () => {
  const layer = layerOf(ball([9, 13, 15], 14)),
    undo = new Undo(),
    before = layer.data.slice();
  undo.record(layer, paint(layer, {erases: true}, [9, 13, 18], [6, 10, 12]).spans());
  const after = layer.data.slice();
  assert.ok(after.some((v, i) => v < before[i]) && after.every((v, i) => v <= before[i]));
  undo.undo();
  assert.deepEqual(layer.data, before);
  undo.redo();
  assert.deepEqual(layer.data, after);
});

test("a brush with a condition sets only the voxels that meet it", () => {
  const layer = empty();
  paint(layer, {takes: (z, y, x) => x % 2 === 0}, [9, 13, 15]);
  assert.ok(voxels(layer).length > 10 && voxels(layer).every(([, , x]) => x % 2 === 0));
});

test("over a scan of another size the ball has its radius in the scan", () => {
  const scale = [1.25, 0.8, 1.1],
    measured = {...GRID, spacing_mm: GRID.spacing_mm.map((s, a) => s * scale[a])},
    layer = empty();
  paint(layer, {radius_mm: 14, spacing_mm: measured.spacing_mm}, [10, 12, 15]);
  assert.deepEqual(voxels(layer), voxels(layerOf(ball([10, 12, 15], 14, measured))));
});
