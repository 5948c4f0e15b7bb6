// The film and the evidence over it: two canvases with one view. Knows pixels and patches, not findings.

import { colour } from "./evidence.js";

export class Stage {
  constructor(frame, film, evidence) {
    this.frame = frame;
    this.canvases = [film, evidence];
    this.contexts = this.canvases.map((canvas) => canvas.getContext("2d"));
    this.style = { opacity: 0.4, palette: "red-blue", brightness: 1, contrast: 1, invert: false };
    this.bitmap = null;
    this.grid = null;
    this.removed = new Set();
    this.cursor = null;
    this.pending = false;
    new ResizeObserver(() => this.fit()).observe(frame);
  }

  show(bitmap, geometry, side) {
    Object.assign(this, { bitmap, geometry, side });
    this.fit();
  }

  // `values` are rows of numbers in -1 … 1, the strength of each patch's colour.
  evidence(values, removed) {
    this.grid = values;
    this.removed = removed;
    this.draw();
  }

  fit() {
    const { clientWidth: width, clientHeight: height } = this.frame;
    const ratio = devicePixelRatio || 1;
    for (const canvas of this.canvases) {
      canvas.width = Math.max(1, Math.round(width * ratio));
      canvas.height = Math.max(1, Math.round(height * ratio));
    }
    this.ratio = ratio;
    if (this.bitmap) {
      const scale = Math.min(width / this.bitmap.width, height / this.bitmap.height);
      this.view = { scale, x: (width - this.bitmap.width * scale) / 2, y: (height - this.bitmap.height * scale) / 2 };
    }
    this.draw();
  }

  zoom(factor, x = this.frame.clientWidth / 2, y = this.frame.clientHeight / 2) {
    if (!this.bitmap) return;
    const scale = Math.min(40, Math.max(0.02, this.view.scale * factor));
    const change = scale / this.view.scale;
    this.view = { scale, x: x - (x - this.view.x) * change, y: y - (y - this.view.y) * change };
    this.draw();
  }

  pan(x, y) {
    if (!this.bitmap) return;
    this.view.x += x;
    this.view.y += y;
    this.draw();
  }

  // The patch at a place of the frame, as row * side + column, or null outside the grid.
  cellAt(x, y) {
    if (!this.bitmap || !this.geometry) return null;
    const { row, column, height } = this.geometry;
    const size = height / this.side;
    const r = Math.floor(((y - this.view.y) / this.view.scale - row) / size);
    const c = Math.floor(((x - this.view.x) / this.view.scale - column) / size);
    return r >= 0 && c >= 0 && r < this.side && c < this.side ? r * this.side + c : null;
  }

  placeOf(cell) {
    const size = this.geometry.height / this.side;
    const x = this.view.x + (this.geometry.column + ((cell % this.side) + 0.5) * size) * this.view.scale;
    const y = this.view.y + (this.geometry.row + (Math.floor(cell / this.side) + 0.5) * size) * this.view.scale;
    return [x, y];
  }

  draw() {
    if (this.pending) return;
    this.pending = true;
    requestAnimationFrame(() => {
      this.pending = false;
      this.paintFilm();
      this.paintEvidence();
    });
  }

  paintFilm() {
    const [canvas] = this.canvases;
    const [context] = this.contexts;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    const { brightness, contrast, invert } = this.style;
    canvas.style.filter = `invert(${invert ? 1 : 0}) brightness(${brightness}) contrast(${contrast})`;
    if (!this.bitmap) return;
    const k = this.view.scale * this.ratio;
    context.setTransform(k, 0, 0, k, this.view.x * this.ratio, this.view.y * this.ratio);
    context.drawImage(this.bitmap, 0, 0);
  }

  paintEvidence() {
    const [, canvas] = this.canvases;
    const [, context] = this.contexts;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    if (!this.bitmap || !this.geometry) return;
    const k = this.view.scale * this.ratio;
    context.setTransform(k, 0, 0, k, this.view.x * this.ratio, this.view.y * this.ratio);
    const { row, column, height } = this.geometry;
    const size = height / this.side;
    (this.grid || []).forEach((line, r) => line.forEach((value, c) => {
      const x = column + c * size;
      const y = row + r * size;
      if (this.removed.has(r * this.side + c)) {
        context.fillStyle = "rgb(0 0 0 / .8)";
        context.fillRect(x, y, size, size);
        context.strokeStyle = "rgb(255 255 255 / .8)";
        context.lineWidth = 1.5 / this.view.scale;
        context.beginPath();
        context.moveTo(x + size * 0.35, y + size * 0.35);
        context.lineTo(x + size * 0.65, y + size * 0.65);
        context.moveTo(x + size * 0.65, y + size * 0.35);
        context.lineTo(x + size * 0.35, y + size * 0.65);
        context.stroke();
      } else {
        context.fillStyle = `rgb(${colour(value, this.style.palette).join(" ")} / ${this.style.opacity})`;
        context.fillRect(x, y, size, size);
      }
    }));
    context.strokeStyle = "rgb(255 214 0 / .9)";
    context.lineWidth = 1.5 / this.view.scale;
    context.strokeRect(column, row, height, height); // what lies outside was not looked at
    if (this.cursor !== null) {
      context.lineWidth = 3 / this.view.scale;
      context.strokeStyle = "#7fc4ff";
      context.strokeRect(column + (this.cursor % this.side) * size, row + Math.floor(this.cursor / this.side) * size, size, size);
    }
  }
}
