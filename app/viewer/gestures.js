// Interprets mouse, pen and touch. Left button or one finger: the selected tool. Shift or middle button: pan. Right button:
// window. Wheel or two fingers: zoom and pan.

const TAP = 8; // CSS pixels that a finger can move within a tap

export class Gestures {
  // `on`: tool() returns the tool; cellAt(x, y); hover(x, y); press(cell), brush(cell); pan(dx, dy); zoom(factor, x, y);
  // window(dx, dy); activate().
  constructor(frame, on) {
    Object.assign(this, { frame, on, places: new Map(), drag: null });
    const listen = (name, handle) => frame.addEventListener(name, handle, { passive: false });
    listen("contextmenu", (event) => event.preventDefault());
    listen("pointerdown", (event) => this.down(event));
    listen("pointermove", (event) => this.move(event));
    for (const name of ["pointerup", "pointercancel"]) listen(name, (event) => this.up(event, name === "pointerup"));
    listen("pointerleave", () => on.hover(null, null));
    listen("wheel", (event) => {
      event.preventDefault();
      on.zoom(Math.exp(-event.deltaY / 400), ...this.place(event));
    });
  }

  place(event) {
    const box = this.frame.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  down(event) {
    this.on.activate();
    this.frame.setPointerCapture(event.pointerId);
    const at = this.place(event);
    this.places.set(event.pointerId, at);
    if (this.places.size > 1) {
      this.drag = { kind: "pinch" };
      return;
    }
    this.drag = { kind: this.kindOf(event, at), at, start: at, isWaiting: event.pointerType === "touch" };
    if (this.drag.kind === "brush" && !this.drag.isWaiting) this.on.press(this.on.cellAt(...at));
  }

  kindOf(event, at) {
    if (event.button === 1 || event.shiftKey) return "pan";
    if (event.button === 2) return "window";
    const tool = this.on.tool();
    return tool === "brush" && this.on.cellAt(...at) === null ? "pan" : tool;
  }

  move(event) {
    const at = this.place(event);
    if (this.places.size < 2) this.on.hover(...at);
    if (!this.drag || !this.places.has(event.pointerId)) return;
    if (this.drag.kind === "pinch") this.pinch(event.pointerId, at);
    else this.dragTo(at);
    this.places.set(event.pointerId, at);
  }

  dragTo(at) {
    const { kind, at: from, start } = this.drag;
    if (kind === "rest") return;
    if (this.drag.isWaiting) { // a second finger can follow
      if (Math.hypot(at[0] - start[0], at[1] - start[1]) < TAP) return;
      this.drag.isWaiting = false;
      if (kind === "brush") this.on.press(this.on.cellAt(...start));
    }
    if (kind === "brush") this.brushAlong(from, at);
    else this.on[kind](at[0] - from[0], at[1] - from[1]);
    this.drag.at = at;
  }

  // Visits every patch between two positions, so that a fast stroke has no gaps.
  brushAlong([x0, y0], [x1, y1]) {
    const steps = Math.max(1, Math.ceil(Math.hypot(x1 - x0, y1 - y0) / 6));
    for (let step = 1; step <= steps; step += 1) {
      const cell = this.on.cellAt(x0 + ((x1 - x0) * step) / steps, y0 + ((y1 - y0) * step) / steps);
      if (cell !== null) this.on.brush(cell);
    }
  }

  pinch(moved, at) {
    const before = [...this.places.values()];
    const after = [...this.places].map(([id, place]) => (id === moved ? at : place));
    const [from, to] = [before, after].map(([[x0, y0], [x1, y1]]) => (
      { x: (x0 + x1) / 2, y: (y0 + y1) / 2, apart: Math.max(1, Math.hypot(x1 - x0, y1 - y0)) }));
    this.on.pan(to.x - from.x, to.y - from.y);
    this.on.zoom(to.apart / from.apart, to.x, to.y);
  }

  up(event, isMeant) {
    if (isMeant && this.drag?.isWaiting && this.drag.kind === "brush") this.on.press(this.on.cellAt(...this.drag.start));
    this.places.delete(event.pointerId);
    if (!this.places.size) this.drag = null;
    else this.drag = { kind: "rest", at: [0, 0], start: [0, 0], isWaiting: true }; // one of two fingers is still down
  }
}
