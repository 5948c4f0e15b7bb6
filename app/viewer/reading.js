// A film, what the service found on it, and which patches the reader has taken away.

import { remaining, sigmoid } from "./evidence.js";

export class Reading {
  // `limit`: the logit of the strongest colour, the same for all films of a model.
  constructor({ file, film, result, limit }) {
    Object.assign(this, { file, film, result, limit, removed: new Set(), history: [], maps: new Map() });
    this.geometry = result.explanations[0].geometry;
    this.side = result.explanations.find((item) => item.grid)?.grid.rows ?? 0;
    // In the order of the first decision: rows must not jump while patches are taken away.
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

  // The probability without the removed patches; null where there is none.
  probability(item, rule) {
    const logit = item.grid ? remaining(item.grid.patch_logits, this.removed, rule) : null;
    return logit === null ? null : sigmoid(logit);
  }

  remove(cells) {
    this.history.push(this.removed);
    this.removed = new Set(cells);
  }

  // Begins a stroke at a patch: whether it takes away or gives back follows from what the patch was.
  press(cell) {
    this.isErasing = !this.removed.has(cell);
    this.history.push(this.removed);
    this.removed = new Set(this.removed);
    this.brush(cell);
  }

  // Goes on with the stroke; whether anything changed.
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
