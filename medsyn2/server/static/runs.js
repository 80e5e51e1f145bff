// @ts-check
/**
 * Masks as lengths of runs, as the server sends and takes them: 0-run, 1-run, 0-run ... in C order, beginning with
 * zeros. For the draft that a tab keeps, the lengths are written as bytes of seven bits and then as base64.
 */

/**
 * Return the runs of one bit of an array.
 * @param {Uint8Array} data @param {number} bit @returns {Uint32Array}
 */
export function encodeRuns(data, bit) {
  let runs = new Uint32Array(1024),
    num = 0,
    start = 0,
    on = 0;
  const push = (/** @type {number} */ length) => {
    if (num === runs.length) {
      const more = new Uint32Array(num * 2);
      more.set(runs);
      runs = more;
    }
    runs[num++] = length;
  };
  for (let i = 0; i < data.length; i++) {
    const is = data[i] & bit;
    if (is !== on) {
      push(i - start);
      start = i;
      on = is;
    }
  }
  push(data.length - start);
  return runs.slice(0, num);
}

/**
 * Set one bit of an array where the runs say so and clear it elsewhere; the other bits stay.
 * @param {Uint32Array} runs @param {Uint8Array} data @param {number} bit
 */
export function decodeRuns(runs, data, bit) {
  let total = 0;
  for (const length of runs) total += length;
  if (total !== data.length) throw new RangeError(`runs of ${total} voxels for a grid of ${data.length}`);
  let i = 0;
  runs.forEach((length, k) => {
    const end = i + length;
    if (k & 1) for (; i < end; i++) data[i] |= bit;
    else for (; i < end; i++) data[i] &= ~bit;
  });
}

/**
 * Return the index of a mask's middle voxel in C order: a place inside it, whatever its shape. -1 if it is empty.
 * @param {Uint32Array} runs
 */
export function middleOfRuns(runs) {
  let rest = 0;
  runs.forEach((length, k) => (rest += k & 1 ? length : 0));
  if (!rest) return -1;
  rest = Math.floor(rest / 2);
  let i = 0;
  for (let k = 0; k < runs.length; i += runs[k++]) {
    if (k & 1 && rest < runs[k]) return i + rest;
    if (k & 1) rest -= runs[k];
  }
  return -1;
}

/** @param {Uint32Array} runs @returns {string} */
export function packRuns(runs) {
  const bytes = [];
  for (let length of runs) {
    while (length > 127) {
      bytes.push((length & 127) | 128);
      length >>>= 7;
    }
    bytes.push(length);
  }
  let text = "";
  for (let i = 0; i < bytes.length; i += 4096) text += String.fromCharCode(...bytes.slice(i, i + 4096));
  return btoa(text);
}

/** @param {string} text @returns {Uint32Array} */
export function unpackRuns(text) {
  const runs = [];
  let length = 0,
    shift = 0;
  for (const char of atob(text)) {
    const byte = char.charCodeAt(0);
    length += (byte & 127) * 2 ** shift;
    shift += 7;
    if (byte < 128) {
      runs.push(length);
      length = shift = 0;
    }
  }
  return Uint32Array.from(runs);
}
