// @ts-check
/**
 * From mouse, pen, touch and wheel to gestures on a canvas. One finger, the pen or the left button use the tool; two
 * fingers, the middle button or Shift move and zoom the picture; the right button changes the window; the wheel goes
 * through the slices and, with Ctrl or a pinch on a trackpad, zooms.
 */

/**
 * @typedef {object} Gestures pixels are the canvas's own
 * @property {(x: number, y: number, event: PointerEvent) => void} down
 * @property {(x: number, y: number, event: PointerEvent) => void} move
 * @property {(isWhole: boolean) => void} up not whole if a second finger made another gesture of it
 * @property {(x: number, y: number, event: PointerEvent) => void} hover
 * @property {() => void} leave
 * @property {(dx: number, dy: number) => void} pan
 * @property {(factor: number, x: number, y: number) => void} zoom
 * @property {(dx: number, dy: number) => void} window
 * @property {(slices: number) => void} scroll
 */

/** Pixels of a trackpad's wheel for a slice; a mouse's click is about 100. */
const SLICE_PIXELS = 50;
/** Zoom for a pixel of the wheel. */
const ZOOM_RATE = 0.004;

/** @param {HTMLCanvasElement} canvas @param {Gestures} gestures */
export function attach(canvas, gestures) {
  /** @type {Map<number, {x: number, y: number}>} */
  const fingers = new Map();
  let mode = /** @type {"" | "tool" | "pan" | "window" | "pinch"} */ (""),
    wheel = 0;
  const place = (/** @type {MouseEvent} */ event) => {
    const box = canvas.getBoundingClientRect(),
      k = canvas.width / (box.width || 1);
    return {x: (event.clientX - box.left) * k, y: (event.clientY - box.top) * k};
  };
  const end = (/** @type {boolean} */ isWhole) => {
    if (mode === "tool") gestures.up(isWhole);
    mode = "";
  };

  canvas.addEventListener("pointerdown", event => {
    const at = place(event);
    canvas.focus({preventScroll: true});
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, at);
    if (fingers.size > 1) {
      end(false);
      mode = "pinch";
      return;
    }
    mode = event.button === 2 ? "window" : event.button === 1 || event.shiftKey ? "pan" : "tool";
    if (mode === "tool") gestures.down(at.x, at.y, event);
  });
  canvas.addEventListener("pointermove", event => {
    const at = place(event),
      from = fingers.get(event.pointerId);
    gestures.hover(at.x, at.y, event);
    if (!from) return;
    if (mode === "pinch") pinch(fingers, event.pointerId, at, gestures);
    else if (mode === "pan") gestures.pan(at.x - from.x, at.y - from.y);
    else if (mode === "window") gestures.window(at.x - from.x, at.y - from.y);
    else if (mode === "tool")
      for (const part of parts(event)) {
        const p = place(part);
        gestures.move(p.x, p.y, event);
      }
    fingers.set(event.pointerId, at);
  });
  for (const name of /** @type {const} */ (["pointerup", "pointercancel"]))
    canvas.addEventListener(name, event => {
      fingers.delete(event.pointerId);
      if (mode !== "pinch") end(name === "pointerup");
      else if (!fingers.size) mode = "";
    });
  canvas.addEventListener("pointerleave", () => gestures.leave());
  canvas.addEventListener("contextmenu", event => event.preventDefault());
  canvas.addEventListener(
    "wheel",
    event => {
      event.preventDefault();
      const pixels = event.deltaY * (event.deltaMode === 1 ? 33 : event.deltaMode === 2 ? 400 : 1),
        at = place(event);
      if (event.ctrlKey) {
        gestures.zoom(Math.exp(-ZOOM_RATE * Math.max(-200, Math.min(200, pixels))), at.x, at.y);
        return;
      }
      wheel += Math.max(-2 * SLICE_PIXELS, Math.min(2 * SLICE_PIXELS, pixels));
      const slices = Math.trunc(wheel / SLICE_PIXELS);
      wheel -= slices * SLICE_PIXELS;
      if (slices) gestures.scroll(-slices);
    },
    {passive: false},
  );
}

/** Return the places that a pen passed since the last event. @param {PointerEvent} event */
function parts(event) {
  const all = event.getCoalescedEvents?.() ?? [];
  return all.length ? all : [event];
}

/**
 * @param {Map<number, {x: number, y: number}>} fingers @param {number} id @param {{x: number, y: number}} at @param
 * {Gestures} gestures
 */
function pinch(fingers, id, at, gestures) {
  const other = [...fingers].find(([key]) => key !== id)?.[1],
    from = fingers.get(id);
  if (!other || !from) return;
  const before = Math.hypot(from.x - other.x, from.y - other.y),
    after = Math.hypot(at.x - other.x, at.y - other.y);
  gestures.pan((at.x - from.x) / 2, (at.y - from.y) / 2);
  if (before > 1) gestures.zoom(after / before, (at.x + other.x) / 2, (at.y + other.y) / 2);
}
