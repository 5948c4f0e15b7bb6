// Draws one radiograph and its evidence on two canvases that share a view.

import { colour } from "./palette.js";

const BORDER = "rgb(255 214 0 / .9)";
const CURSOR = "#7fc4ff";

export class Viewport {
  constructor(frame, radiograph, evidence, view) {
    Object.assign(this, { frame, canvases: [radiograph, evidence], view, radiograph: null, geometry: null, side: 0 });
    this.contexts = [radiograph.getContext("2d", { alpha: false }), evidence.getContext("2d")];
    this.look = { opacity: 0.4, palette: "red-blue" };
    this.layer = { grid: null, map: null, factor: 0, removed: new Set() };
    this.cursor = null;
    this.stale = new Set();
    new ResizeObserver(() => this.resize()).observe(frame);
  }

  show(radiograph, geometry, side) {
    Object.assign(this, { radiograph, geometry, side, cursor: null });
    this.fit();
  }

  // `grid`: rows of patch logits, or null; `map`: { values, side } in logits, or null; `factor`: from logits to [-1, 1].
  setLayer(layer) {
    this.layer = layer;
    this.paint("evidence");
  }

  fit() {
    if (this.radiograph) this.view.fit(this.frame.clientWidth, this.frame.clientHeight, this.radiograph);
    this.paint("radiograph", "evidence");
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.frame;
    this.ratio = devicePixelRatio || 1;
    for (const canvas of this.canvases) {
      canvas.width = Math.max(1, Math.round(width * this.ratio));
      canvas.height = Math.max(1, Math.round(height * this.ratio));
    }
    if (this.radiograph && this.view.isFitted) this.view.fit(width, height, this.radiograph);
    this.paint("radiograph", "evidence");
  }

  // The patch at a position of the frame, or null outside the grid.
  cellAt(x, y) {
    if (!this.geometry) return null;
    const [column, row] = this.view.toImage(x, y);
    const size = this.geometry.height / this.side;
    const r = Math.floor((row - this.geometry.row) / size);
    const c = Math.floor((column - this.geometry.column) / size);
    return r >= 0 && c >= 0 && r < this.side && c < this.side ? r * this.side + c : null;
  }

  // Schedules painting for the next animation frame; several calls are merged.
  paint(...what) {
    if (!this.stale.size) requestAnimationFrame(() => this.paintNow());
    for (const name of what) this.stale.add(name);
  }

  paintNow() {
    if (this.stale.has("radiograph")) this.paintRadiograph();
    if (this.stale.has("evidence")) this.paintEvidence();
    this.stale.clear();
  }

  paintRadiograph() {
    const [context] = this.contexts;
    context.fillStyle = "#000";
    context.fillRect(0, 0, context.canvas.width, context.canvas.height);
    if (!this.radiograph) return;
    const { scale, x, y } = this.view;
    this.radiograph.draw(context, scale * this.ratio, x * this.ratio, y * this.ratio);
  }

  paintEvidence() {
    const [, context] = this.contexts;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, context.canvas.width, context.canvas.height);
    if (!this.radiograph) return;
    const k = this.view.scale * this.ratio;
    context.setTransform(k, 0, 0, k, this.view.x * this.ratio, this.view.y * this.ratio);
    const { row, column, height: extent } = this.geometry;
    this.paintUnseen(context, row, column, extent);
    const size = extent / this.side;
    const square = (cell) => [column + (cell % this.side) * size, row + Math.floor(cell / this.side) * size, size];
    if (this.layer.map) this.paintMap(context, row, column, extent);
    else if (this.layer.grid) this.paintGrid(context, square);
    for (const cell of this.layer.removed) paintRemoved(context, ...square(cell), this.view.scale);
    context.strokeStyle = BORDER;
    context.lineWidth = 1.5 / this.view.scale;
    context.strokeRect(column, row, extent, extent);
    if (this.cursor !== null) {
      const [left, top] = square(this.cursor);
      context.lineWidth = 3 / this.view.scale;
      context.strokeStyle = CURSOR;
      context.strokeRect(left, top, size, size);
    }
  }

  paintGrid(context, square) {
    this.layer.grid.flat().forEach((logit, cell) => {
      if (this.layer.removed.has(cell)) return;
      context.fillStyle = `rgb(${colour(logit * this.layer.factor, this.look.palette).join(" ")} / ${this.look.opacity})`;
      const [left, top, size] = square(cell);
      context.fillRect(left, top, size, size);
    });
  }

  paintMap(context, row, column, extent) {
    context.globalAlpha = this.look.opacity;
    context.imageSmoothingQuality = "high";
    context.drawImage(coloured(this.layer.map, this.layer.factor, this.look.palette), column, row, extent, extent);
    context.globalAlpha = 1;
  }

  // Hatches the part outside the analysed square.
  paintUnseen(context, row, column, extent) {
    const { rows, columns } = this.radiograph;
    if (extent >= rows && extent >= columns) return;
    context.save();
    context.beginPath();
    context.rect(0, 0, columns, rows);
    context.rect(column, row, extent, extent);
    context.clip("evenodd");
    context.fillStyle = "rgb(0 0 0 / .45)";
    context.fillRect(0, 0, columns, rows);
    context.strokeStyle = "rgb(255 214 0 / .35)";
    context.lineWidth = 1 / this.view.scale;
    context.beginPath();
    const gap = Math.max(rows, columns) / 60;
    for (let at = -rows; at < columns; at += gap) {
      context.moveTo(at, rows);
      context.lineTo(at + rows, 0);
    }
    context.stroke();
    context.restore();
  }
}

function paintRemoved(context, left, top, size, scale) {
  context.fillStyle = "rgb(0 0 0 / .8)";
  context.fillRect(left, top, size, size);
  context.strokeStyle = "rgb(255 255 255 / .8)";
  context.lineWidth = 1.5 / scale;
  context.beginPath();
  context.moveTo(left + size * 0.35, top + size * 0.35);
  context.lineTo(left + size * 0.65, top + size * 0.65);
  context.moveTo(left + size * 0.65, top + size * 0.35);
  context.lineTo(left + size * 0.35, top + size * 0.65);
  context.stroke();
}

const drawn = new WeakMap(); // coloured maps by map

function coloured(map, factor, palette) {
  const known = drawn.get(map);
  if (known?.factor === factor && known.palette === palette) return known.canvas;
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = map.side;
  const context = canvas.getContext("2d");
  const image = context.createImageData(map.side, map.side);
  map.values.forEach((logit, index) => {
    image.data.set(colour(logit * factor, palette), 4 * index);
    image.data[4 * index + 3] = 255;
  });
  context.putImageData(image, 0, 0);
  drawn.set(map, { factor, palette, canvas });
  return canvas;
}
