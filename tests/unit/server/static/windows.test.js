import assert from "node:assert/strict";
import {test} from "node:test";
import {dragLimits, fillDifferences, fillGreys} from "../../../../medsyn2/server/static/windows.js";

const grey = (table, hu) => table[hu & 65535] & 255;

for (const [low, high] of [
  [-1350, 150],
  [-125, 225],
  [300, 900],
  [-3000, -2000],
  [-40000, 40000],
])
  test(`a window from ${low} to ${high} HU is black below, white above and straight between`, () => {
    const table = new Uint32Array(65536).fill(7);
    fillGreys(table, [low, high]);
    for (let hu = -32768; hu < 32768; hu++) {
      const share = Math.max(0, Math.min(1, (hu - low) / (high - low)));
      assert.ok(Math.abs(grey(table, hu) - 255 * share) <= 0.51, `${hu}: ${grey(table, hu)}`);
      assert.equal(table[hu & 65535] >>> 24, 255);
    }
  });

test("differences are as bright below zero as above", () => {
  const table = new Uint32Array(65536);
  fillDifferences(table, 200);
  assert.equal(table[0], 0xff000000);
  assert.equal((table[100] & 255) > 100, true);
  assert.equal(((table[-100 & 65535] >> 16) & 255) > 100, true);
  assert.equal(table[200], table[5000]);
});

test("a drag to the right widens about the level, one down raises the level", () => {
  assert.deepEqual(dragLimits([0, 100], 10, 0), [-15, 115]);
  assert.deepEqual(dragLimits([0, 100], 0, 10), [30, 130]);
});
