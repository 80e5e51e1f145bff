// @ts-check
/** The tools: what the pointer, or the keyboard at the crosshair, does to the active structure. */
import {Stroke} from "./brush.js";
import {each, isInside, voxelOf} from "./grid.js";
import {cutPiece, putPiece, tighten} from "./layers.js";
import {enclosedRegion, joinPieces, splitPiece} from "./regions.js";
import {meansOn} from "./regrid.js";
import {centreOf, scalePiece, shiftPiece} from "./shapes.js";
import {t} from "./texts.js";

/** @typedef {import("./grid.js").Triple} Triple */
/** @typedef {import("./planes.js").Plane} Plane */
/** @typedef {import("./layers.js").Piece} Piece */
/** @typedef {"look" | "brush" | "erase" | "threshold" | "fill" | "move" | "scale"} ToolName */
/**
 * @typedef {{original: Piece, part: Piece, rest: Piece, start_mm: Triple, centre_mm: Triple, last: Piece | null,
 * frame: number}} Grip
 */

/** @type {readonly ToolName[]} */
export const TOOLS = ["look", "brush", "erase", "threshold", "fill", "move", "scale"];
const PEN_ERASER = 32; // A bit of PointerEvent.buttons

export class Tools {
  /** @param {import("./page.js").Page} page */
  constructor(page) {
    this.page = page;
    this.name = /** @type {ToolName} */ ("look");
    this.radius_mm = 10;
    this.isFlat = false;
    this.limits_hu = /** @type {[number, number]} */ ([-200, 3000]);
    this.stroke = /** @type {Stroke | null} */ (null);
    this.grip = /** @type {Grip | null} */ (null);
    this.latest = /** @type {Triple | null} */ (null);
  }

  get paints() {
    return this.name === "brush" || this.name === "erase" || this.name === "threshold";
  }

  /** The brush as it is drawn over a plane. */
  tip() {
    return this.paints
      ? {radius_mm: this.radius_mm, erases: this.name === "erase", axis: this.isFlat ? 0 : null}
      : null;
  }

  /** @param {Triple} mm @param {Plane} plane @param {PointerEvent | null} event */
  down(mm, plane, event) {
    const {page} = this;
    if (this.name === "look") {
      page.viewer.moveTo(mm);
      return;
    }
    if (!isInside(page.grid, mm)) {
      page.say(t("status.outside"));
      return;
    }
    const drawn = page.active ?? page.addStructure(firstWords(page));
    drawn.isVisible = page.isMarked = true;
    if (this.name === "fill") this.fill(mm, plane);
    else if (this.paints) this.begin(mm, plane, event);
    else this.take(mm, event);
  }

  /** @param {Triple} mm */
  move(mm) {
    if (this.name === "look") this.page.viewer.moveTo(mm);
    if (this.stroke) {
      this.stroke.to(mm);
      this.page.viewer.redraw();
    }
    const grip = this.grip;
    if (grip && !grip.frame)
      grip.frame = requestAnimationFrame(() => {
        grip.frame = 0;
        if (this.grip === grip) this.drag(grip, this.latest ?? mm);
      });
    this.latest = mm;
  }

  /** @param {boolean} isWhole */
  up(isWhole) {
    if (this.stroke) this.finish(this.stroke);
    if (this.grip) this.letGo(this.grip, isWhole);
    this.stroke = this.grip = null;
  }

  /** @param {Triple} mm @param {Plane} plane @param {PointerEvent | null} event */
  begin(mm, plane, event) {
    const {page, name, radius_mm} = this,
      layer = page.active?.layer;
    if (!layer) return;
    const erases = name === "erase" || ((event?.buttons ?? 0) & PEN_ERASER) !== 0;
    page.viewer.moveTo(mm);
    this.stroke = new Stroke(layer, {
      radius_mm,
      spacing_mm: page.measured.spacing_mm,
      erases,
      axis: this.isFlat ? plane.axis : null,
      takes: name === "threshold" ? this.condition() : null,
    });
    this.stroke.to(mm);
    page.viewer.redraw();
  }

  /** Return which voxels of the model's grid have HU within the limits, on average, in the volume that is shown. */
  condition() {
    const {
      page: {
        grid,
        viewer: {main},
      },
      limits_hu: [low, high],
    } = this;
    if (!main) return () => false;
    const mean = meansOn(main, grid);
    return (/** @type {number} */ z, /** @type {number} */ y, /** @type {number} */ x) => {
      const hu = mean(z, y, x);
      return hu >= low && hu <= high;
    };
  }

  /** @param {Stroke} stroke */
  finish(stroke) {
    const {page} = this;
    page.undo.record(stroke.layer, stroke.spans());
    if (stroke.last && isInside(page.grid, stroke.last)) page.viewer.moveTo(stroke.last);
    page.changed();
  }

  /** @param {Triple} mm @param {Plane} plane */
  fill(mm, plane) {
    const {page} = this,
      layer = page.active?.layer;
    if (!layer) return;
    const region = enclosedRegion(layer, voxelOf(page.grid, mm), plane.axis);
    if (!region) {
      page.say(t("status.open-outline"));
      return;
    }
    page.edit(piece => joinPieces(piece, tighten(region)));
  }

  /**
   * Take hold of the part under the pointer, or of all with Alt or beside it.
   * @param {Triple} mm @param {PointerEvent | null} event
   */
  take(mm, event) {
    const {page} = this,
      layer = page.active?.layer;
    const original = layer ? cutPiece(layer) : null;
    if (!original?.bits.length) {
      page.say(t("status.nothing-to-move"));
      return;
    }
    const split = event?.altKey ? null : splitPiece(original, voxelOf(page.grid, mm));
    const part = split ? tighten(split.part) : original,
      {origin_mm, spacing_mm} = page.grid,
      centre = centreOf(part);
    const rest = split ? tighten(split.rest) : {box: original.box, bits: new Uint8Array(0)};
    this.grip = {
      original,
      part,
      rest,
      start_mm: mm,
      centre_mm: each(a => origin_mm[a] + centre[a] * spacing_mm[a]),
      last: null,
      frame: 0,
    };
  }

  /** @param {Grip} grip @param {Triple} mm */
  drag(grip, mm) {
    const {page, name} = this,
      layer = page.active?.layer;
    if (!layer) return;
    const part =
      name === "move"
        ? shiftPiece(
            grip.part,
            each(a => Math.round((mm[a] - grip.start_mm[a]) / page.grid.spacing_mm[a])),
          )
        : scalePiece(grip.part, page.grid, this.factor(grip, mm));
    grip.last = joinPieces(part, grip.rest);
    putPiece(layer, grip.last);
    page.viewer.redraw();
  }

  /** @param {Grip} grip @param {Triple} mm */
  factor({start_mm, centre_mm}, mm) {
    const least_mm = Math.max(...this.page.grid.spacing_mm),
      far = (/** @type {Triple} */ p) => Math.max(least_mm, Math.hypot(...each(a => p[a] - centre_mm[a])));
    return Math.max(0.1, Math.min(10, far(mm) / far(start_mm)));
  }

  /** @param {Grip} grip @param {boolean} isWhole */
  letGo(grip, isWhole) {
    const {page} = this,
      layer = page.active?.layer;
    if (!layer) return;
    if (isWhole && grip.frame && this.latest) this.drag(grip, this.latest);
    putPiece(layer, grip.original);
    if (isWhole && grip.last) page.undo.record(layer, putPiece(layer, grip.last));
    page.changed();
  }
}

/**
 * Return the words of the structure that a first stroke makes: nodules, or the model's first.
 * @param {import("./page.js").Page} page
 */
export function firstWords({
  state: {
    model: {structures},
  },
}) {
  return (structures.find(s => s.name === "nodules") ?? structures[0])?.words ?? "";
}
