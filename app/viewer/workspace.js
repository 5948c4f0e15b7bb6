// The state of the page and the actions of the reader on it. Each action ends with `changed()`.

import { everythingBut, ring } from "./evidence.js";
import { WHOLE } from "./radiograph.js";

const PRESETS = { auto: [0, 1], lungs: [0.01, 0.6], bones: [0.4, 0.995] }; // quantiles of the values

export class Workspace {
  constructor(panes, changed) {
    Object.assign(this, { panes, changed, active: panes[0], isComparing: false, isLinked: true, isHidden: false, outline: null, notice: "" });
    Object.assign(this, { rule: "drop", point: "", layer: "grid", isScaled: false, opacity: 0.5, range: 0.5, palette: "red-blue" });
    Object.assign(this, { tool: "window", toolBefore: "window", showsZones: false, zone: null });
  }

  get shown() {
    return this.isComparing ? this.panes : this.panes.slice(0, 1);
  }

  // The panes that an action on the active one reaches.
  get linked() {
    return this.isLinked ? this.shown : [this.active];
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

  replace(reading, other) {
    for (const pane of this.panes) if (pane.reading === reading) pane.reading = other;
    this.changed();
  }

  // Removing patches is a mode: it is entered and left explicitly.
  togglePatches() {
    if (this.tool !== "patches") this.toolBefore = this.tool;
    this.set("tool", this.tool === "patches" ? this.toolBefore : "patches");
  }

  leavePatches() {
    if (this.tool === "patches") this.togglePatches();
  }

  // The second pane starts with the same radiograph and its next finding.
  compare() {
    const [first, second] = this.panes;
    this.isComparing = !this.isComparing;
    if (this.isComparing && first.reading && !second.reading) {
      const names = first.reading.scored;
      second.viewport.view.copy(first.viewport.view);
      second.problem = "";
      second.show(first.reading, names[(names.indexOf(first.finding) + 1) % names.length] ?? null);
    }
    this.active = this.isComparing ? second : first;
    this.changed();
  }

  // Makes the second pane the active one, beside the first.
  openBeside() {
    this.isComparing = true;
    this.set("active", this.panes[1]);
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

  // The cells of a pane's smallest set, "sufficient" or "flip"; null without a decision or without such a set.
  decisive(kind, pane = this.active) {
    if ((pane.item?.positive ?? null) === null) return null;
    const cells = pane.item.decisive_patches.find((one) => one.rule === this.rule)?.[kind];
    return cells?.map(([row, column]) => row * pane.reading.side + column) ?? null;
  }

  applyOutline() {
    const cells = this.decisive(this.outline);
    if (cells) this.remove(this.outline === "flip" ? cells : everythingBut(cells, this.active.reading.side));
  }

  undo() {
    this.active.reading?.undo();
    this.changed();
  }

  setPreset(name) {
    this.changeWindows(name, (radiograph) => (name === "file" ? WHOLE : radiograph.windowBetween(...PRESETS[name])));
  }

  setWindow(level, width) {
    this.changeWindows("own", () => ({ level, width }));
  }

  moveWindow(level, width) {
    this.changeWindows("own", ({ window }) => ({ level: window.level + level, width: window.width + width }));
  }

  changeWindows(preset, windowOf) {
    const radiographs = new Set(this.linked.map(({ reading }) => reading?.radiograph).filter(Boolean));
    for (const radiograph of radiographs) {
      radiograph.setWindow(windowOf(radiograph));
      radiograph.preset = preset;
    }
    this.repaint();
  }

  invert() {
    this.active.reading?.radiograph.invert();
    this.repaint();
  }

  repaint() {
    for (const { viewport } of this.shown) viewport.paint("radiograph");
    this.changed();
  }

  // Changes zoom, position or orientation of all linked panes.
  look(change) {
    for (const { viewport, reading } of this.linked) {
      if (!reading) continue;
      change(viewport);
      viewport.paint("radiograph", "evidence");
    }
  }

  startRuler(pane, place) {
    pane.reading?.lines.push([place, place]);
    this.changed();
  }

  moveRuler(pane, place) {
    const line = pane.reading?.lines.at(-1);
    if (line) line[1] = place;
    this.changed();
  }

  removeRuler() {
    this.active.reading?.lines.pop();
    this.changed();
  }
}
