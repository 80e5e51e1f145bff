// @ts-check
/**
 * Undo and redo. A step is the voxels that a change flipped, found within its bounding box: two numbers a row instead
 * of a copy of the mask. Steps are kept until they hold MAX_BYTES together; the oldest go first.
 */
import {flipSpans} from "./layers.js";

/** @typedef {import("./layers.js").Layer} Layer */
/** @typedef {{layer: Layer, spans: Uint32Array}} Step */

// A stroke at 448^3 takes about 12 kB, a flip of both lungs 2 MB: thousands of strokes, or dozens of flips.
const MAX_BYTES = 64e6;

export class Undo {
  constructor(maxBytes = MAX_BYTES) {
    this.maxBytes = maxBytes;
    this.numBytes = 0;
    /** @type {Step[]} */
    this.past = [];
    /** @type {Step[]} */
    this.future = [];
  }

  /** @param {Layer} layer @param {Uint32Array} spans */
  record(layer, spans) {
    if (!spans.length) return;
    for (const step of this.future) this.numBytes -= step.spans.byteLength;
    this.future = [];
    this.past.push({layer, spans});
    this.numBytes += spans.byteLength;
    while (this.numBytes > this.maxBytes && this.past.length > 1)
      ((this.numBytes -= this.past[0].spans.byteLength), this.past.shift());
  }

  /** Take the last step back; return its layer. */
  undo() {
    return this.flip(this.past, this.future);
  }

  /** Do the last step that was taken back again; return its layer. */
  redo() {
    return this.flip(this.future, this.past);
  }

  /** @param {Step[]} from @param {Step[]} to @returns {Layer | null} */
  flip(from, to) {
    const step = from.pop();
    if (!step) return null;
    flipSpans(step.layer, step.spans);
    to.push(step);
    return step.layer;
  }

  /** Forget the steps of a layer that is gone. @param {Layer} layer */
  forget(layer) {
    this.past = this.past.filter(step => step.layer !== layer);
    this.future = this.future.filter(step => step.layer !== layer);
    this.numBytes = [...this.past, ...this.future].reduce((sum, step) => sum + step.spans.byteLength, 0);
  }
}
