// A radiograph, the result of the service, and the patches that the reader removed.

import { remaining, sigmoid } from "./evidence.js";

export class Reading {
  // `limit`: logit of the strongest colour, the same for all radiographs of a model.
  constructor({ file, radiograph, result, limit }) {
    Object.assign(this, { file, radiograph, result, limit, removed: new Set(), history: [], maps: new Map() });
    this.geometry = result.explanations[0].geometry;
    this.side = result.explanations.find((item) => item.grid)?.grid.rows ?? 0;
    // Ordered once, by the original probability: rows keep their place while patches are removed.
    this.items = [...result.explanations].sort((one, other) => (other.probability ?? -1) - (one.probability ?? -1));
  }

  get isDicom() {
    return this.result.image.format === "dicom";
  }

  get scored() {
    return this.items.filter((item) => item.grid).map((item) => item.finding);
  }

  item(finding) {
    return this.result.explanations.find((item) => item.finding === finding) ?? null;
  }

  // The probability without the removed patches, or null.
  probability(item, rule) {
    const logit = item.grid ? remaining(item.grid.patch_logits, this.removed, rule) : null;
    return logit === null ? null : sigmoid(logit);
  }

  remove(cells) {
    this.history.push(this.removed);
    this.removed = new Set(cells);
  }

  // Starts a stroke: it removes patches if its first patch was present, else it restores them.
  press(cell) {
    this.isErasing = !this.removed.has(cell);
    this.history.push(this.removed);
    this.removed = new Set(this.removed);
    this.brush(cell);
  }

  // Continues the stroke. Returns whether the patch changed.
  brush(cell) {
    if (this.removed.has(cell) === this.isErasing) return false;
    if (this.isErasing) this.removed.add(cell);
    else this.removed.delete(cell);
    return true;
  }

  undo() {
    this.removed = this.history.pop() ?? this.removed;
  }
}
