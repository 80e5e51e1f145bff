import assert from "node:assert/strict";
import {test} from "node:test";
import {Bank, cutPiece, flipSpans, loadRuns, putPiece, runsOf} from "../../../../medsyn2/server/static/layers.js";
import {Undo} from "../../../../medsyn2/server/static/undo.js";
import {GRID, ball, layerOf, piece, voxels} from "./phantom.js";

test("layers share an array, overlap and leave each other alone", () => {
  const bank = new Bank(GRID),
    layers = Array.from({length: 9}, () => bank.take());
  assert.equal(bank.arrays.length, 2);
  assert.equal(new Set(layers.slice(0, 8).map(l => l.bit)).size, 8);
  layers.forEach((layer, i) => putPiece(layer, piece(ball([9, 13, 10 + i], 12))));
  putPiece(
    layers[3],
    piece(() => false),
  );
  assert.deepEqual(voxels(layers[4]), voxels(layerOf(ball([9, 13, 14], 12))));
  assert.equal(voxels(layers[3]).length, 0);
  bank.giveBack(layers[4]);
  assert.equal(voxels(layers[4]).length, 0);
  assert.equal(bank.take().bit, layers[4].bit);
});

test("a piece is cut in its smallest box", () => {
  const {box} = piece((z, y, x) => z >= 3 && z < 6 && y === 7 && x >= 2 && x < 30);
  assert.deepEqual(box, {low: [3, 7, 2], high: [6, 8, 30]});
});

test("a change is taken back by its spans, and they are few", () => {
  const layer = layerOf(ball([9, 13, 15], 14)),
    before = layer.data.slice();
  const spans = putPiece(layer, piece(ball([11, 10, 20], 12)));
  assert.deepEqual(voxels(layer), voxels(layerOf(ball([11, 10, 20], 12))));
  assert.ok(spans.length < 600);
  flipSpans(layer, spans);
  assert.deepEqual(layer.data, before);
  assert.deepEqual(cutPiece(layer), piece(ball([9, 13, 15], 14)));
});

test("a layer comes back from its runs", () => {
  const layer = layerOf(ball([9, 13, 15], 14)),
    other = new Bank(GRID).take();
  loadRuns(other, runsOf(layer));
  assert.deepEqual(voxels(other), voxels(layer));
  assert.deepEqual(other.box, layer.box);
});

test("undo keeps within its memory and forgets what can no longer be redone", () => {
  const layer = layerOf(() => false),
    undo = new Undo(4000);
  for (let i = 0; i < 10; i++) undo.record(layer, putPiece(layer, piece(ball([9, 13, 10 + i], 12))));
  assert.ok(undo.numBytes <= 4000 && undo.past.length < 10 && undo.past.length > 0);
  undo.undo();
  undo.record(
    layer,
    putPiece(
      layer,
      piece(() => false),
    ),
  );
  assert.equal(undo.redo(), null);
  undo.forget(layer);
  assert.equal(undo.numBytes, 0);
});
