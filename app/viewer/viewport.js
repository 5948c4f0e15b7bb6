// Draws one radiograph and its evidence on two canvases that share a view.

import { colour, opacityOf } from "./palette.js";

const BORDER = "rgb(255 214 0 / .9)";
const CURSOR = "#7fc4ff";
const OUTLINE = "#5dff9b";
const MEASURE = "#ffe27a";

const NOTHING = { grid: null, map: null, factor: 0, removed: new Set(), outline: [], lines: [], zone: null };

export class Viewport {
  constructor(frame, radiograph, evidence, view) {
    Object.assign(this, { frame, canvases: [radiograph, evidence], view, radiograph: null, geometry: null, side: 0 });
    this.contexts = [radiograph.getContext("2d", { alpha: false }), evidence.getContext("2d")];
    this.look = { opacity: 0, palette: "red-blue", isHidden: false };
    this.layer = NOTHING;
    this.cursor = null;
    this.onView = () => {};
    this.stale = new Set();
    new ResizeObserver(() => this.resize()).observe(frame);
  }

  show(radiograph, geometry, side) {
    Object.assign(this, { radiograph, geometry, side, cursor: null });
    this.fit();
  }

  clear() {
    Object.assign(this, { radiograph: null, geometry: null, side: 0, cursor: null, layer: NOTHING });
    this.paint("radiograph", "evidence");
  }

  // `grid`: rows of patch logits, or null; `map`: { values, side } in logits, or null; `factor`: from logits to [-1, 1].
  // `outline`: cells; `lines`: measured lines, { ends: two positions [column, row], text }; `zone`: a picture of the square, or null.
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
    if (this.stale.has("radiograph")) {
      this.paintRadiograph();
      this.onView();
    }
    if (this.stale.has("evidence")) this.paintEvidence();
    this.stale.clear();
  }

  paintRadiograph() {
    const [context] = this.contexts;
    context.fillStyle = "#000";
    context.fillRect(0, 0, context.canvas.width, context.canvas.height);
    if (!this.radiograph) return;
    const { scale, x, y } = this.view;
    this.radiograph.draw(context, scale * this.ratio, x * this.ratio, y * this.ratio, this.view.orientation);
  }

  paintEvidence() {
    const [, context] = this.contexts;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, context.canvas.width, context.canvas.height);
    if (!this.radiograph) return;
    const k = this.view.scale * this.ratio;
    const turned = this.view.orientation.map((part) => part * k);
    context.setTransform(...turned, this.view.x * this.ratio, this.view.y * this.ratio);
    if (!this.look.isHidden) this.paintLayer(context);
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    for (const { ends, text } of this.layer.lines) paintMeasure(context, ends.map((end) => this.view.toFrame(...end)), text);
  }

  paintLayer(context) {
    const { row, column, height: extent } = this.geometry;
    this.paintUnseen(context, row, column, extent);
    const size = extent / this.side;
    const square = (cell) => [column + (cell % this.side) * size, row + Math.floor(cell / this.side) * size, size];
    if (this.layer.map) this.paintMap(context, row, column, extent);
    else if (this.layer.grid) this.paintGrid(context, square);
    if (this.layer.zone) context.drawImage(this.layer.zone, column, row, extent, extent);
    for (const cell of this.layer.removed) paintRemoved(context, ...square(cell), this.view.scale);
    context.strokeStyle = BORDER;
    context.lineWidth = 1.5 / this.view.scale;
    context.strokeRect(column, row, extent, extent);
    context.strokeStyle = OUTLINE;
    context.lineWidth = 3 / this.view.scale;
    for (const cell of this.layer.outline) strokeInside(context, ...square(cell), this.view.scale);
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
      const value = logit * this.layer.factor;
      context.fillStyle = `rgb(${colour(value, this.look.palette).join(" ")} / ${opacityOf(value) * this.look.opacity})`;
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

function strokeInside(context, left, top, size, scale) {
  const inset = 3 / scale;
  context.strokeRect(left + inset, top + inset, size - 2 * inset, size - 2 * inset);
}

// In CSS pixels of the frame.
function paintMeasure(context, [[x0, y0], [x1, y1]], text) {
  context.strokeStyle = context.fillStyle = MEASURE;
  context.lineWidth = 1.5;
  context.beginPath();
  context.moveTo(x0, y0);
  context.lineTo(x1, y1);
  const [across, along] = [6 * Math.sin(Math.atan2(y1 - y0, x1 - x0)), 6 * Math.cos(Math.atan2(y1 - y0, x1 - x0))];
  for (const [x, y] of [[x0, y0], [x1, y1]]) {
    context.moveTo(x - across, y + along);
    context.lineTo(x + across, y - along);
  }
  context.stroke();
  context.font = "600 14px system-ui, sans-serif";
  const [x, y] = [(x0 + x1) / 2 + 10, (y0 + y1) / 2 - 8];
  context.strokeStyle = "#000";
  context.lineWidth = 3;
  context.strokeText(text, x, y);
  context.fillText(text, x, y);
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
    image.data[4 * index + 3] = Math.round(opacityOf(logit * factor) * 255);
  });
  context.putImageData(image, 0, 0);
  drawn.set(map, { factor, palette, canvas });
  return canvas;
}
