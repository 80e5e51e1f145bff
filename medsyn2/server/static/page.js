// @ts-check
/**
 * The state that the parts of the page share, and how they hear of changes. `tell` and `hear` name a change: "masks",
 * "active", "item", "items", "opened", "source", "job", "text". The server keeps the truth about volumes and results;
 * masks and words that are not sent yet live here and in the tab's draft.
 */
import {ServerError, fetchHeader, fetchMask} from "./api.js";
import {byId} from "./dom.js";
import {each, gridOf, mmOf} from "./grid.js";
import {Bank, cutPiece, loadRuns, putPiece, runsOf} from "./layers.js";
import {middleOfRuns} from "./runs.js";
import {centreOf} from "./shapes.js";
import {t} from "./texts.js";
import {Undo} from "./undo.js";
import {Volumes} from "./volumes.js";

/** @typedef {import("./api.js").State} State */
/** @typedef {import("./api.js").Item} Item */
/** @typedef {import("./api.js").Header} Header */
/** @typedef {import("./grid.js").Grid} Grid */
/** @typedef {import("./layers.js").Layer} Layer */
/** @typedef {import("./layers.js").Piece} Piece */
/**
 * @typedef {{key: string, words: string, colour: string, isVisible: boolean, layer: Layer, sent: string, sentState:
 * string}} Drawn a structure; `sent`: the id of its mask
 */
/** @typedef {"masks" | "active" | "item" | "items" | "opened" | "source" | "job" | "text"} Change */

/** Colours that differ from each other and from grey, for the colour-blind too. */
const COLOURS = ["#ff8a5c", "#4cc3ff", "#ffd54d", "#7fe07f", "#d69bff", "#ff8fc4", "#4be0c8", "#b9c4ff"];

export class Page extends EventTarget {
  /** @param {State} state @param {import("./viewer.js").Viewer} viewer */
  constructor(state, viewer) {
    super();
    this.state = state;
    this.viewer = viewer;
    this.grid = gridOf(state.model.grid);
    this.bank = new Bank(this.grid);
    this.undo = new Undo();
    this.volumes = new Volumes();
    this.drawn = /** @type {Drawn[]} */ ([]);
    this.active = /** @type {Drawn | null} */ (null);
    this.items = /** @type {Item[]} */ ([...state.history].reverse());
    this.item = /** @type {Item | null} */ (null);
    this.opened = /** @type {Header[]} */ ([...state.volumes].reverse());
    this.template = /** @type {Header | null} */ (null);
    this.source = "";
    this.job = /** @type {import("./api.js").Job | null} */ (null);
    this.isMarked = true;
    this.isBesideChosen = false;
    this.asked = this.bank.take();
    this.found = this.bank.take();
    viewer.marks = () => this.marks();
  }

  /** The model's grid, measured in the scan that is shown: a lesion's size is that in the patient. @returns {Grid} */
  get measured() {
    const {scale} = this.viewer;
    return {...this.grid, spacing_mm: each(a => this.grid.spacing_mm[a] * scale[a])};
  }

  /** @param {Change} change */
  tell(change) {
    this.dispatchEvent(new Event(change));
  }

  /** @param {Change[]} changes @param {() => void} act */
  hear(changes, act) {
    for (const change of changes) this.addEventListener(change, act);
  }

  /** Say something to everybody, screen readers included. @param {string} text */
  say(text) {
    byId("status", HTMLElement).textContent = text;
  }

  /** Show an error with its remedy. @param {unknown} error */
  fail(error) {
    const text = error instanceof Error ? error.message : String(error);
    const remedy = error instanceof ServerError ? error.remedy : "";
    byId("problem-text", HTMLElement).textContent =
      error instanceof TypeError ? t("problem.unreachable") : capital(text);
    byId("problem-remedy", HTMLElement).textContent = capital(remedy);
    byId("problem", HTMLElement).hidden = false;
  }

  /** Say whether the server answers; what failed for the lack of it is over when it does. @param {boolean} isUp */
  showLink(isUp) {
    byId("away", HTMLElement).hidden = isUp;
    const problem = byId("problem", HTMLElement);
    if (isUp && byId("problem-text", HTMLElement).textContent === t("problem.unreachable")) problem.hidden = true;
  }

  /** Show that something takes its time. @param {string} text @param {() => Promise<void>} act */
  async during(text, act) {
    this.say(text);
    document.body.classList.add("busy");
    try {
      await act();
    } finally {
      document.body.classList.remove("busy");
    }
  }

  /** Do something that may fail, and show it if it does. @param {() => Promise<void>} act */
  async attempt(act) {
    try {
      await act();
    } catch (error) {
      this.fail(error);
    }
  }

  /** @param {string} words @param {string | null} [colour] @returns {Drawn} */
  addStructure(words, colour = null) {
    const used = this.drawn.map(d => d.colour),
      free = COLOURS.find(c => !used.includes(c)) ?? COLOURS[this.drawn.length % COLOURS.length];
    const drawn = {
      key: crypto.randomUUID(),
      words,
      colour: colour && !used.includes(colour) ? colour : free,
      isVisible: true,
      layer: this.bank.take(),
      sent: "",
      sentState: "",
    };
    this.drawn.push(drawn);
    this.activate(drawn);
    return drawn;
  }

  /** @param {Drawn | null} drawn */
  activate(drawn) {
    this.active = drawn;
    this.tell("active");
    this.tell("masks");
    this.viewer.redraw();
  }

  /** @param {Drawn} drawn */
  removeStructure(drawn) {
    this.undo.forget(drawn.layer);
    this.bank.giveBack(drawn.layer);
    this.drawn = this.drawn.filter(d => d !== drawn);
    if (this.active === drawn) this.active = this.drawn.at(-1) ?? null;
    this.changed();
    this.tell("active");
  }

  /** Change the active structure as a whole. @param {(piece: Piece) => Piece} change */
  edit(change) {
    const layer = this.active?.layer;
    if (!layer) return;
    this.undo.record(layer, putPiece(layer, change(cutPiece(layer))));
    this.changed();
  }

  /** Tell that masks have changed, and draw them. */
  changed() {
    this.tell("masks");
    this.viewer.redraw();
  }

  /** @returns {import("./pane.js").Mark[]} */
  marks() {
    if (!this.isMarked) return [];
    // What the result followed has its outline; a colour over it would hide what came.
    const drawn = this.drawn
      .filter(d => d.isVisible && !(this.item && d.sent === this.item.mask && d.sentState === stateOf(d)))
      .map(({layer, colour}) => ({layer, colour, look: /** @type {const} */ ("fill")}));
    return [
      ...drawn,
      {layer: this.asked, colour: "#ffc04d", look: "line"},
      {layer: this.found, colour: "#35d6e8", look: "dash"},
    ];
  }

  /**
   * Show a result: its volume, the one before it, the mask that was asked for and the one that was found.
   * @param {Item | null} item
   */
  async showItem(item) {
    this.item = item;
    this.tell("item");
    if (item) await Promise.all([this.showMain(item.volume), this.showBefore(item)]);
    if (this.item !== item) return;
    if (item?.before) this.viewer.setLayout("pair");
    await this.fillLayer(this.asked, item?.mask ?? null);
    this.lookAt(this.asked);
    await this.fillLayer(this.found, item?.found ?? null);
    this.viewer.redraw();
  }

  /** Put the volume before a change beside it; a volume that somebody chose to compare with stays. @param {Item} item */
  async showBefore({before}) {
    if (before) await this.showBeside(before).catch(error => this.leaveGone(error));
    else if (!this.isBesideChosen) await this.showBeside(null);
    if (before) this.isBesideChosen = false;
  }

  /** Go on without a volume that was removed, as a scan may be that results came of. @param {unknown} error */
  async leaveGone(error) {
    if (!(error instanceof ServerError && error.status === 404)) throw error;
    await this.showBeside(null);
  }

  /** @param {Layer} layer @param {string | null} id */
  async fillLayer(layer, id) {
    const runs = id === null ? Uint32Array.of(layer.data.length) : await fetchMask(id);
    loadRuns(layer, runs);
  }

  /**
   * Move the crosshair into a mask: to its centre, or to a voxel of it where that lies outside.
   * @param {Layer} layer
   */
  lookAt(layer) {
    const piece = cutPiece(layer);
    if (!piece.bits.length) return;
    const [z, y, x] = centreOf(piece).map(Math.round),
      [, h, w] = this.grid.shape,
      middle = middleOfRuns(runsOf(layer)),
      isInside = layer.data[(z * h + y) * w + x] & layer.bit;
    const voxel = /** @type {import("./grid.js").Triple} */ (
      isInside ? [z, y, x] : [Math.floor(middle / (h * w)), Math.floor(middle / w) % h, middle % w]
    );
    this.viewer.moveTo(mmOf(this.grid, voxel));
  }

  /** @param {string} id */
  async showMain(id) {
    this.viewer.setMain(await this.volumeOf(id));
    this.tell("opened");
  }

  /** @param {string | null} id */
  async showBeside(id) {
    this.viewer.setBeside(id === null ? null : await this.volumeOf(id));
    this.tell("opened");
  }

  /** @param {string} id */
  async volumeOf(id) {
    const {main, beside} = this.viewer;
    return this.volumes.get(await this.headerOf(id), [main?.id, beside?.id], share =>
      this.say(t("status.loading", {n: Math.round(share * 100)})),
    );
  }

  /** @param {string} id @returns {Promise<Header>} */
  async headerOf(id) {
    const known = [this.template, ...this.opened].find(header => header?.id === id);
    return known ?? fetchHeader(id);
  }
}

/** @param {string} text */
function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** Name the state of a structure, to know whether it has changed. @param {Drawn} drawn */
export function stateOf({layer, words}) {
  return `${layer.version} ${words}`;
}
