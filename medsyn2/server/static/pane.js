// @ts-check
/**
 * A pane: one plane of one volume on a canvas, with masks over it, crosshair, letters and scale bar. The slice and
 * the masks are pictures in voxels that are made anew only if their cause has changed; the canvas puts them together
 * at the screen's size.
 */
import {voxelOf} from "./grid.js";
import {outlineSlice, paintDifference, paintSlice, place, reaches, readSlice, rectangle, tintSlice} from "./planes.js";

/** @typedef {import("./planes.js").Plane} Plane */
/** @typedef {import("./planes.js").Voxels} Voxels */
/** @typedef {import("./planes.js").Lens} Lens */
/** @typedef {import("./planes.js").Placement} Placement */
/** @typedef {import("./grid.js").Triple} Triple */
/** @typedef {import("./layers.js").Layer} Layer */
/** @typedef {{layer: Layer, colour: string, look: "fill" | "line" | "dash"}} Mark */
/**
 * @typedef {object} Scene
 * @property {Voxels | null} volume
 * @property {Voxels | null} before if given, the difference from it is shown; it has the same grid
 * @property {Triple} at_mm
 * @property {Lens} lens
 * @property {Uint32Array} greys
 * @property {Uint32Array} differences
 * @property {number} tables number of the state of both tables
 * @property {Mark[]} marks
 * @property {Triple} scale millimetres of the volume for each of the page's
 * @property {{mm: Triple, radii_mm: Triple, erases: boolean} | null} tip the brush, if it is over this plane
 * @property {string} label
 * @property {string} badge
 */

const FILL_ALPHA = 0x50,
  INK = "#c9d4de",
  SOFT = "#8fa0b0",
  CROSS = "rgba(110, 200, 220, .55)";
const BARS_MM = [200, 100, 50, 20, 10, 5, 2, 1];

/** A picture in voxels, with its cause. */
class Picture {
  constructor() {
    this.canvas = document.createElement("canvas");
    this.cause = /** @type {unknown[]} */ ([]);
    this.image = new ImageData(1, 1);
    this.pixels = new Uint32Array(1);
  }

  /**
   * Return whether the picture must be made anew, and make room for it.
   * @param {number} width @param {number} height @param {unknown[]} cause
   */
  isStale(width, height, cause) {
    if (cause.length === this.cause.length && cause.every((part, i) => part === this.cause[i])) return false;
    this.cause = cause;
    if (this.canvas.width !== width || this.canvas.height !== height || this.pixels.length !== width * height) {
      this.canvas.width = width;
      this.canvas.height = height;
      this.image = new ImageData(width, height);
      this.pixels = new Uint32Array(this.image.data.buffer);
    }
    return true;
  }

  show() {
    this.canvas.getContext("2d")?.putImageData(this.image, 0, 0);
  }
}

/** The HU of a slice, read once while one looks at it. */
class Slice {
  constructor() {
    this.values = new Int16Array(0);
    this.volume = /** @type {Voxels | null} */ (null);
    this.index = -1;
  }

  /** @param {Plane} plane @param {Voxels} volume @param {number} index */
  of(plane, volume, index) {
    if (volume === this.volume && index === this.index) return this.values;
    const num = volume.grid.shape[plane.rows] * volume.grid.shape[plane.columns];
    if (this.values.length !== num) this.values = new Int16Array(num);
    readSlice(plane, volume, index, this.values);
    this.volume = volume;
    this.index = index;
    return this.values;
  }
}

export class Pane {
  /** @param {Plane} plane @param {HTMLCanvasElement} canvas */
  constructor(plane, canvas) {
    this.plane = plane;
    this.canvas = canvas;
    this.context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", {alpha: false}));
    this.slice = new Picture();
    this.shown = new Slice();
    this.before = new Slice();
    this.tint = new Picture();
    /** @type {Placement | null} */
    this.at = null;
    this.size = {width: 0, height: 0};
  }

  get isShown() {
    return this.size.width > 0;
  }

  /** @param {number} width @param {number} height in pixels of CSS */
  resize(width, height) {
    this.size = {width, height};
  }

  /** Let go of the volumes of a pane that is not shown. */
  forget() {
    this.shown.volume = this.before.volume = null;
    this.slice.cause = [];
  }

  get ratio() {
    return window.devicePixelRatio || 1;
  }

  /** @param {Scene} scene */
  draw(scene) {
    const {canvas, context} = this;
    this.fitCanvas();
    context.fillStyle = "#000";
    context.fillRect(0, 0, canvas.width, canvas.height);
    this.at = null;
    const grid = scene.volume?.grid ?? scene.marks[0]?.layer.grid;
    if (!grid) return;
    const at = (this.at = place(this.plane, grid, scene.lens, canvas));
    if (scene.volume) this.drawSlice(scene, scene.volume, at);
    this.drawMarks(scene, at);
    this.drawCross(scene, at);
    if (scene.tip) this.drawTip(scene.tip, at);
    this.drawLetters(scene, at);
  }

  fitCanvas() {
    const {canvas, ratio, size} = this,
      width = Math.round(size.width * ratio),
      height = Math.round(size.height * ratio);
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width;
      canvas.height = height;
    }
  }

  /** @param {Scene} scene @param {Voxels} volume @param {Placement} at */
  drawSlice({before, at_mm, greys, differences, tables}, volume, at) {
    const {plane, slice, context} = this,
      {grid} = volume,
      index = voxelOf(grid, at_mm)[plane.axis];
    if (!before) this.before.volume = null;
    if (slice.isStale(grid.shape[plane.columns], grid.shape[plane.rows], [volume, before, index, tables])) {
      const values = this.shown.of(plane, volume, index);
      if (before) paintDifference(this.before.of(plane, before, index), values, differences, greys, slice.pixels);
      else paintSlice(values, greys, slice.pixels);
      slice.show();
    }
    const r = rectangle(plane, grid, at);
    context.imageSmoothingEnabled = true;
    // Cubic enlargement takes a CPU some 50 ms a slice; viewers of CTs enlarge linearly. Down to half the size, linear
    // sampling passes no voxel over; below it the canvas averages, which takes as long as all the rest.
    const isSmall = 2 * r.w < grid.shape[plane.columns] || 2 * r.h < grid.shape[plane.rows];
    context.imageSmoothingQuality = isSmall ? "medium" : "low";
    context.drawImage(slice.canvas, r.x, r.y, r.w, r.h);
  }

  /** @param {Scene} scene @param {Placement} at */
  drawMarks({marks, at_mm}, at) {
    const grid = marks[0]?.layer.grid;
    if (!grid) return;
    const {plane, tint, context} = this,
      index = voxelOf(grid, at_mm)[plane.axis],
      r = rectangle(plane, grid, at);
    const here = marks.filter(({layer}) => reaches(plane, layer, index)),
      fills = here.filter(({look}) => look === "fill");
    if (fills.length) {
      const cause = fills.flatMap(({layer, colour}) => [layer, layer.version, colour]);
      if (tint.isStale(grid.shape[plane.columns], grid.shape[plane.rows], [index, ...cause])) {
        tint.pixels.fill(0);
        for (const {layer, colour} of fills) tintSlice(plane, layer, index, packed(colour), tint.pixels);
        tint.show();
      }
      context.imageSmoothingEnabled = false;
      context.drawImage(tint.canvas, r.x, r.y, r.w, r.h);
    }
    for (const mark of here) this.drawOutline(mark, index, r);
  }

  /** @param {Mark} mark @param {number} index @param {{x: number, y: number, w: number, h: number}} r */
  drawOutline({layer, colour, look}, index, r) {
    const {context, plane} = this,
      dx = r.w / layer.grid.shape[plane.columns],
      dy = r.h / layer.grid.shape[plane.rows];
    context.beginPath();
    outlineSlice(plane, layer, index, (r0, c0, r1, c1) => {
      context.moveTo(r.x + c0 * dx, r.y + r0 * dy);
      context.lineTo(r.x + c1 * dx, r.y + r1 * dy);
    });
    context.strokeStyle = colour;
    context.lineWidth = 1.5 * this.ratio;
    context.setLineDash(look === "dash" ? [4 * this.ratio, 3 * this.ratio] : []);
    context.stroke();
    context.setLineDash([]);
  }

  /** @param {Scene} scene @param {Placement} at */
  drawCross({at_mm}, at) {
    const {context, canvas, plane, ratio} = this,
      gap = 9 * ratio;
    const x = Math.round(at.x + at.k * at_mm[plane.columns]) + 0.5,
      y = Math.round(at.y + at.sign * at.k * at_mm[plane.rows]) + 0.5;
    context.beginPath();
    for (const [x0, y0, x1, y1] of [
      [0, y, x - gap, y],
      [x + gap, y, canvas.width, y],
      [x, 0, x, y - gap],
      [x, y + gap, x, canvas.height],
    ]) {
      context.moveTo(x0, y0);
      context.lineTo(x1, y1);
    }
    context.strokeStyle = CROSS;
    context.lineWidth = ratio;
    context.stroke();
  }

  /** @param {{mm: Triple, radii_mm: Triple, erases: boolean}} tip @param {Placement} at */
  drawTip({mm, radii_mm, erases}, at) {
    const {context, plane, ratio} = this;
    context.beginPath();
    context.ellipse(
      at.x + at.k * mm[plane.columns],
      at.y + at.sign * at.k * mm[plane.rows],
      Math.max(2, radii_mm[plane.columns] * at.k),
      Math.max(2, radii_mm[plane.rows] * at.k),
      0,
      0,
      7,
    );
    context.strokeStyle = erases ? "#ff9d9d" : "#ffffff";
    context.lineWidth = 1.5 * ratio;
    context.stroke();
  }

  /** @param {Scene} scene @param {Placement} at */
  drawLetters({label, badge, scale}, at) {
    const {
        context,
        canvas: {width, height},
        ratio,
        plane: {letters, columns},
      } = this,
      edge = 7 * ratio,
      k = at.k / scale[columns];
    const write = (
      /** @type {string} */ text,
      /** @type {number} */ x,
      /** @type {number} */ y,
      /** @type {CanvasTextAlign} */ align,
      colour = INK,
    ) => {
      context.textAlign = align;
      context.lineWidth = 3 * ratio;
      context.strokeStyle = "rgba(0, 0, 0, .75)";
      context.strokeText(text, x, y);
      context.fillStyle = colour;
      context.fillText(text, x, y);
    };
    context.textBaseline = "middle";
    context.font = `600 ${14 * ratio}px system-ui, sans-serif`;
    write(letters[0], edge, height / 2, "left");
    write(letters[1], width - edge, height / 2, "right");
    write(letters[2], width / 2, edge + 7 * ratio, "center");
    write(letters[3], width / 2, height - edge - 7 * ratio, "center");
    context.font = `${12 * ratio}px system-ui, sans-serif`;
    write(label, edge, edge + 7 * ratio, "left", SOFT);
    context.font = `600 ${12 * ratio}px system-ui, sans-serif`;
    write(badge, width - edge, edge + 7 * ratio, "right", "#ffc04d");
    const mm = BARS_MM.find(bar => bar * k < width / 4) ?? 1,
      y = height - edge - 3 * ratio;
    context.fillStyle = "rgba(0, 0, 0, .75)";
    context.fillRect(edge - ratio, y - ratio, mm * k + 2 * ratio, 4 * ratio);
    context.fillStyle = INK;
    context.fillRect(edge, y, mm * k, 2 * ratio);
    context.font = `${11 * ratio}px system-ui, sans-serif`;
    write(`${mm} mm`, edge, y - 9 * ratio, "left", SOFT);
  }
}

/** Return a colour as a pixel with the fill's alpha. @param {string} colour #rrggbb */
function packed(colour) {
  const value = parseInt(colour.slice(1), 16);
  return ((FILL_ALPHA << 24) | ((value & 255) << 16) | (value & 0xff00) | (value >> 16)) >>> 0;
}
