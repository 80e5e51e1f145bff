import assert from "node:assert/strict";
import {test} from "node:test";
import {decodeRuns, encodeRuns, middleOfRuns, packRuns, unpackRuns} from "../../../../medsyn2/server/static/runs.js";

test("runs are zeros, ones, zeros in turn and begin with zeros", () => {
  assert.deepEqual([...encodeRuns(Uint8Array.of(1, 1, 0, 3, 2), 1)], [0, 2, 1, 1, 1]);
  assert.deepEqual([...encodeRuns(Uint8Array.of(0, 0, 0), 1)], [3]);
});

test("a mask comes back from its runs, and the other bits are left alone", () => {
  const data = Uint8Array.from({length: 5000}, (_, i) => (i * i) % 7 & 5),
    before = data.slice();
  const runs = unpackRuns(packRuns(encodeRuns(data, 4)));
  for (let i = 0; i < data.length; i++) data[i] |= 4;
  decodeRuns(runs, data, 4);
  assert.deepEqual(data, before);
});

test("runs longer than a signed integer keep their length in the draft", () => {
  const runs = Uint32Array.of(0, 127, 128, 2 ** 31 + 5, 16384);
  assert.deepEqual(unpackRuns(packRuns(runs)), runs);
});

test("runs of another grid are refused", () => {
  assert.throws(() => decodeRuns(Uint32Array.of(4, 2), new Uint8Array(7), 1), RangeError);
});

test("the middle voxel of a mask lies in it", () => {
  assert.equal(middleOfRuns(encodeRuns(Uint8Array.of(0, 1, 1, 0, 0, 1, 1, 1, 0), 1)), 5);
  assert.equal(middleOfRuns(encodeRuns(Uint8Array.of(1, 0), 1)), 0);
  assert.equal(middleOfRuns(encodeRuns(new Uint8Array(5), 1)), -1);
});
