// @ts-check
/** The volumes in the browser's memory: those on show, and the last ones while they are small together. */
import {fetchVolume} from "./api.js";

/** @typedef {import("./api.js").Volume} Volume */
/** @typedef {import("./api.js").Header} Header */

// Two volumes of 448^3 and the masks are 450 MB; a third would be kept for nothing.
const MAX_BYTES = 400e6;

export class Volumes {
  constructor() {
    /** @type {Map<string, Promise<Volume>>} */
    this.kept = new Map();
    /** @type {Map<string, number>} */
    this.numBytes = new Map();
  }

  /**
   * Return a volume, from memory or from the server.
   * @param {Header} header @param {(string | undefined)[]} inUse ids @param {(share: number) => void} tell
   */
  get(header, inUse, tell) {
    const {id} = header,
      known = this.kept.get(id),
      volume = known ?? fetchVolume(header, tell);
    this.kept.delete(id);
    this.kept.set(id, volume);
    this.numBytes.set(id, 2 * header.shape.reduce((a, b) => a * b, 1));
    volume.catch(() => this.kept.delete(id));
    this.clean([id, ...inUse]);
    return volume;
  }

  /** @param {(string | undefined)[]} inUse */
  clean(inUse) {
    let total = [...this.kept.keys()].reduce((sum, id) => sum + (this.numBytes.get(id) ?? 0), 0);
    for (const id of [...this.kept.keys()]) {
      if (total <= MAX_BYTES) return;
      if (inUse.includes(id)) continue;
      this.kept.delete(id);
      total -= this.numBytes.get(id) ?? 0;
    }
  }
}
