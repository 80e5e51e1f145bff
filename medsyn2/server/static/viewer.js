// @ts-check
/**
 * The viewer: three planes of the volume that is looked at and, beside it, of the one that it is compared with, on
 * one crosshair. It knows where one looks and how; tools and masks are told to it.
 */
import {each, isInside, middleOf, mmOf, voxelOf} from "./grid.js";
import {attach} from "./input.js";
import {Pane} from "./pane.js";
import {PLANES, pointUnder} from "./planes.js";
import {regrid, sharedGrid} from "./regrid.js";
import {DIFFERENCE_HU, WINDOWS_HU, dragLimits, fillDifferences, fillGreys} from "./windows.js";

/** @typedef {import("./api.js").Volume} Volume */
/** @typedef {import("./grid.js").Triple} Triple */
/** @typedef {import("./grid.js").Grid} Grid */
/** @typedef {import("./planes.js").Plane} Plane */
/** @typedef {import("./planes.js").PlaneName} PlaneName */
/** @typedef {import("./pane.js").Mark} Mark */
/** @typedef {"one" | "pair" | "flicker" | "difference"} Layout */
/**
 * @typedef {{column: number, plane: Plane, pane: Pane, canvas: HTMLCanvasElement, slider: HTMLInputElement, told:
 * string}} View `told`: what its slider says
 */
/**
 * @typedef {{before: import("./planes.js").Voxels, now: import("./planes.js").Voxels}} Compared
 */
/**
 * @typedef {object} Tool what the pointer does
 * @property {(mm: Triple, plane: Plane, event: PointerEvent | null) => void} down
 * @property {(mm: Triple, plane: Plane) => void} move
 * @property {(isWhole: boolean) => void} up
 * @property {() => {radius_mm: number, erases: boolean, axis: number | null} | null} tip
 */
/**
 * @typedef {{label: (view: View, index: number, num: number) => string, badge: (volume: Volume | null, layout: Layout)
 * => string}} Words
 */

const FLICKER_MS = 450; // Slower than three times a second, the limit of WCAG 2.3.1
const MAX_ZOOM = 20;

export class Viewer extends EventTarget {
  /** @param {Grid} grid the model's @param {HTMLElement} root @param {Words} words */
  constructor(grid, root, words) {
    super();
    this.grid = grid;
    this.root = root;
    this.words = words;
    this.main = /** @type {Volume | null} */ (null);
    this.beside = /** @type {Volume | null} */ (null);
    this.compared = /** @type {Compared | null} */ (null);
    /** Millimetres of the scan that is shown for each of the model's space: its chest has a size of its own. */
    this.scale = scaleOf(null);
    this.layout = /** @type {Layout} */ ("one");
    this.isBeside = false;
    this.limits = WINDOWS_HU.lung;
    this.at_mm = middleOf(grid);
    this.marks = () => /** @type {Mark[]} */ ([]);
    this.tool = /** @type {Tool | null} */ (null);
    this.hover = /** @type {{mm: Triple, view: View} | null} */ (null);
    this.greys = new Uint32Array(65536);
    this.differences = new Uint32Array(65536);
    this.tables = 0;
    this.lenses = Object.fromEntries(Object.keys(PLANES).map(name => [name, {zoom: 1, centre_mm: middleOf(grid)}]));
    fillGreys(this.greys, this.limits);
    fillDifferences(this.differences, DIFFERENCE_HU);
    this.views = [...root.querySelectorAll("canvas")].map(canvas => this.makeView(canvas));
    this.frame = 0;
    const sizes = new ResizeObserver(entries => this.resize(entries));
    for (const {canvas} of this.views) sizes.observe(canvas);
    setInterval(() => {
      if (this.layout === "flicker") {
        this.isBeside = !this.isBeside;
        this.redraw();
      }
    }, FLICKER_MS);
  }

  /** @param {HTMLCanvasElement} canvas @returns {View} */
  makeView(canvas) {
    const plane = PLANES[/** @type {PlaneName} */ (canvas.dataset.plane)],
      slider = canvas.parentElement?.querySelector("input");
    if (!slider) throw new Error("a plane without its slider");
    const view = {
      column: Number(canvas.dataset.column),
      plane,
      pane: new Pane(plane, canvas),
      canvas,
      slider,
      told: "",
    };
    slider.addEventListener("input", () => this.goTo(plane, Number(slider.value)));
    this.attachInput(view);
    return view;
  }

  /** @param {View} view */
  attachInput(view) {
    const {plane, pane} = view;
    const point = (/** @type {number} */ x, /** @type {number} */ y) =>
      pane.at && pointUnder(plane, pane.at, this.at_mm, x, y);
    attach(view.canvas, {
      down: (x, y, event) => {
        const mm = point(x, y);
        if (mm) this.tool?.down(mm, plane, event);
      },
      move: (x, y) => {
        const mm = point(x, y);
        if (mm) this.tool?.move(mm, plane);
      },
      up: isWhole => this.tool?.up(isWhole),
      hover: (x, y) => {
        const mm = point(x, y);
        this.setHover(mm && {mm, view});
      },
      leave: () => this.setHover(null),
      pan: (dx, dy) => this.pan(view, dx, dy),
      zoom: (factor, x, y) => this.zoom(view, factor, point(x, y)),
      window: (dx, dy) => this.setLimits(dragLimits(this.limits, dx / pane.ratio, dy / pane.ratio)),
      scroll: slices => this.step(plane.axis, slices),
    });
  }

  /** The volume whose voxels are stepped through. */
  get stepGrid() {
    return this.main?.grid ?? this.grid;
  }

  /** @param {Volume | null} volume */
  setMain(volume) {
    this.main = volume;
    if (volume?.header.kind !== "preview") this.scale = scaleOf(volume); // A preview is of what was shown before
    this.compared = null;
    this.redraw();
  }

  /** @param {Volume | null} volume */
  setBeside(volume) {
    this.beside = volume;
    this.compared = null;
    this.setLayout(this.layout);
  }

  /** Return both volumes on a grid that both have, if their difference is looked at; null if there is none. */
  compare() {
    const {main, beside} = this,
      grid = this.layout === "difference" && main && beside && sharedGrid(main.grid, beside.grid);
    if (!grid) return null;
    this.compared ??= {before: regrid(beside, grid), now: regrid(main, grid)};
    return this.compared;
  }

  /** @param {Layout} layout */
  setLayout(layout) {
    this.layout = this.beside ? layout : "one";
    this.isBeside = false;
    this.root.dataset.layout = this.layout;
    this.dispatchEvent(new Event("layout"));
    this.redraw();
  }

  /** @param {import("./windows.js").Limits} limits */
  setLimits(limits) {
    this.limits = limits;
    fillGreys(this.greys, limits);
    this.tables++;
    this.dispatchEvent(new Event("limits"));
    this.redraw();
  }

  /** @param {Triple} mm */
  moveTo(mm) {
    const grid = this.stepGrid;
    this.at_mm = isInside(grid, mm) ? mm : mmOf(grid, voxelOf(grid, mm));
    if (this.hover) {
      const {axis} = this.hover.view.plane;
      this.hover.mm[axis] = this.at_mm[axis]; // The slice under the pointer is another one now
    }
    this.dispatchEvent(new Event("move"));
    this.redraw();
  }

  /** @param {import("./grid.js").Axis} axis @param {number} slices */
  step(axis, slices) {
    const grid = this.stepGrid,
      voxel = voxelOf(grid, this.at_mm);
    voxel[axis] += slices;
    this.moveTo(each(a => (a === axis ? mmOf(grid, voxel)[a] : this.at_mm[a])));
  }

  /** @param {Plane} plane @param {number} index */
  goTo(plane, index) {
    this.step(plane.axis, index - voxelOf(this.stepGrid, this.at_mm)[plane.axis]);
  }

  /** @param {View} view @param {number} dx @param {number} dy */
  pan({plane, pane}, dx, dy) {
    if (!pane.at) return;
    const centre = this.lenses[plane.name].centre_mm;
    centre[plane.columns] -= dx / pane.at.k;
    centre[plane.rows] -= dy / (pane.at.k * pane.at.sign);
    this.redraw();
  }

  /** @param {View} view @param {number} factor @param {Triple | null} about */
  zoom({plane}, factor, about) {
    const lens = this.lenses[plane.name],
      zoom = Math.max(1, Math.min(MAX_ZOOM, lens.zoom * factor)),
      k = lens.zoom / zoom;
    for (const a of [plane.rows, plane.columns]) {
      const fixed = (about ?? this.at_mm)[a];
      lens.centre_mm[a] = fixed + (lens.centre_mm[a] - fixed) * k;
    }
    lens.zoom = zoom;
    this.redraw();
  }

  /**
   * Move the crosshair or zoom by a key on a plane, and return whether the key means that.
   * @param {View} view @param {string} key
   */
  obey(view, key) {
    const {rows, columns, axis, flips} = view.plane,
      up = flips ? 1 : -1;
    /** @type {Record<string, [import("./grid.js").Axis, number]>} */
    const steps = {
      ArrowLeft: [columns, -1],
      ArrowRight: [columns, 1],
      ArrowUp: [rows, up],
      ArrowDown: [rows, -up],
      PageUp: [axis, 1],
      PageDown: [axis, -1],
    };
    if (key in steps) this.step(...steps[key]);
    else if (key === "+" || key === "-") this.zoom(view, key === "+" ? 1.25 : 0.8, null);
    else return false;
    return true;
  }

  fit() {
    for (const name of Object.keys(PLANES)) this.lenses[name] = {zoom: 1, centre_mm: middleOf(this.stepGrid)};
    this.redraw();
  }

  /** @param {{mm: Triple, view: View} | null} hover */
  setHover(hover) {
    this.hover = hover;
    this.dispatchEvent(new Event("hover"));
    if (this.tool?.tip()) this.redraw();
  }

  /** Draw all at the next frame. */
  redraw() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.draw();
    });
  }

  /**
   * Take the sizes that a layout gave, and draw before it is shown. To ask for them while drawing would cost a layout.
   * @param {ResizeObserverEntry[]} entries
   */
  resize(entries) {
    for (const {target, contentRect} of entries)
      this.views.find(({canvas}) => canvas === target)?.pane.resize(contentRect.width, contentRect.height);
    this.draw();
  }

  draw() {
    const grid = this.stepGrid,
      marks = this.marks(),
      compared = this.compare();
    for (const view of this.views) {
      const {column, plane, pane} = view,
        index = voxelOf(grid, this.at_mm)[plane.axis],
        num = grid.shape[plane.axis];
      if (!pane.isShown) {
        pane.forget();
        continue;
      }
      const isBeside = this.layout === "pair" ? column === 0 : this.isBeside,
        volume = isBeside ? this.beside : this.main;
      const label = this.words.label(view, index, num);
      this.tellSlider(view, index, num, label);
      pane.draw({
        volume: compared?.now ?? volume,
        before: compared?.before ?? null,
        scale: scaleOf(volume),
        at_mm: this.at_mm,
        lens: this.lenses[plane.name],
        greys: this.greys,
        differences: this.differences,
        tables: this.tables,
        marks,
        tip: this.tipOn(view),
        label,
        badge: this.words.badge(volume, this.layout),
      });
    }
  }

  /**
   * Move a slider; one that is right is left alone, as every change costs a layout.
   * @param {View} view @param {number} index @param {number} num @param {string} label
   */
  tellSlider(view, index, num, label) {
    const {slider} = view,
      told = `${num} ${label}`;
    if (view.told === told && slider.value === String(index)) return;
    view.told = told;
    slider.max = String(num - 1);
    slider.value = String(index);
    slider.setAttribute("aria-valuetext", label);
  }

  /** @param {View} view */
  tipOn({plane}) {
    const tip = this.tool?.tip(),
      mm = this.hover?.mm;
    if (!tip || !mm || !this.hover) return null;
    const from = this.hover.view.plane,
      {scale} = this,
      gap_mm = (mm[plane.axis] - this.at_mm[plane.axis]) * scale[plane.axis];
    if (from !== plane && tip.axis !== null) return null;
    const square = tip.radius_mm ** 2 - gap_mm ** 2;
    if (square <= 0) return null;
    return {mm, radii_mm: each(a => Math.sqrt(square) / scale[a]), erases: tip.erases};
  }

  /** Return the HU of both volumes under a point. @param {Triple} mm */
  valuesAt(mm) {
    const value = (/** @type {Volume | null} */ volume) => {
      if (!volume || !isInside(volume.grid, mm)) return null;
      const [, h, w] = volume.grid.shape,
        [z, y, x] = voxelOf(volume.grid, mm);
      return volume.hu[(z * h + y) * w + x];
    };
    return {main: value(this.main), beside: value(this.beside)};
  }
}

/** @param {Volume | null} volume @returns {Triple} */
function scaleOf(volume) {
  return volume?.header.scale ?? [1, 1, 1];
}
