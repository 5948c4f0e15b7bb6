// The state of the page and the actions of the reader on it. Each action ends with `changed()`.

import { everythingBut, ring } from "./evidence.js";
import { WHOLE } from "./radiograph.js";

const PRESETS = { auto: [0, 1], lungs: [0.01, 0.6], bones: [0.4, 0.995] }; // quantiles of the values

export class Workspace {
  constructor(panes, changed) {
    Object.assign(this, { panes, changed, active: panes[0], isComparing: false });
    Object.assign(this, { rule: "drop", layer: "grid", isScaled: false, opacity: 0.4, palette: "red-blue", tool: "brush", preset: "file" });
  }

  get shown() {
    return this.isComparing ? this.panes : this.panes.slice(0, 1);
  }

  set(name, value) {
    this[name] = value;
    this.changed();
  }

  activate(pane) {
    if (this.active !== pane) this.set("active", pane);
  }

  choose(finding) {
    this.active.finding = finding;
    this.changed();
  }

  // The second pane starts with the same radiograph and its next finding, with zoom and pan linked.
  compare() {
    const [first, second] = this.panes;
    this.isComparing = !this.isComparing;
    if (this.isComparing && first.reading && !second.reading) {
      const names = first.reading.scored;
      second.viewport.view = first.viewport.view;
      second.show(first.reading, names[(names.indexOf(first.finding) + 1) % names.length] ?? null, first.name);
    }
    this.active = this.isComparing ? second : first;
    this.changed();
  }

  remove(cells) {
    const { reading } = this.active;
    if (!reading) return;
    reading.remove(cells);
    this.changed();
  }

  removeRing() {
    const { reading } = this.active;
    if (reading) this.remove([...reading.removed, ...ring(reading.side)]);
  }

  decisive(kind) {
    return this.active.item?.decisive_patches.find((one) => one.rule === this.rule)?.[kind] ?? null;
  }

  removeDecisive(kind) {
    const { side } = this.active.reading;
    const cells = this.decisive(kind).map(([row, column]) => row * side + column);
    this.remove(kind === "flip" ? cells : everythingBut(cells, side));
  }

  undo() {
    this.active.reading?.undo();
    this.changed();
  }

  setPreset(name) {
    const radiograph = this.active.reading?.radiograph;
    if (!radiograph) return;
    radiograph.setWindow(name === "file" ? WHOLE : radiograph.windowBetween(...PRESETS[name]));
    this.showRadiograph(name);
  }

  setWindow(level, width) {
    const radiograph = this.active.reading?.radiograph;
    if (!radiograph) return;
    radiograph.setWindow({ level, width });
    this.showRadiograph("own");
  }

  moveWindow(level, width) {
    const window = this.active.reading?.radiograph.window;
    if (window) this.setWindow(window.level + level, window.width + width);
  }

  invert() {
    this.active.reading?.radiograph.invert();
    this.showRadiograph(this.preset);
  }

  showRadiograph(preset) {
    this.preset = preset;
    for (const { viewport } of this.shown) viewport.paint("radiograph");
    this.changed();
  }

  // Panes of the same radiograph share a view.
  look(change) {
    change(this.active.viewport);
    for (const { viewport } of this.shown) if (viewport.view === this.active.viewport.view) viewport.paint("radiograph", "evidence");
  }
}
