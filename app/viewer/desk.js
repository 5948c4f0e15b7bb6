// Everything a reader can do, and the state it changes. `changed` is called after each.

import { everythingBut, ring } from "./evidence.js";
import { WHOLE } from "./film.js";

const PRESETS = { auto: [0, 1], lungs: [0.01, 0.6], bones: [0.4, 0.995] }; // shares of the film's values

export class Desk {
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

  // The second side begins with the same film and its next finding; both sides then move as one.
  compare() {
    const [first, second] = this.panes;
    this.isComparing = !this.isComparing;
    if (this.isComparing && first.reading && !second.reading) {
      const names = first.reading.scored;
      second.stage.view = first.stage.view;
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
    const film = this.active.reading?.film;
    if (!film) return;
    film.setWindow(name === "file" ? WHOLE : film.windowBetween(...PRESETS[name]));
    this.showFilm(name);
  }

  setWindow(level, width) {
    const film = this.active.reading?.film;
    if (!film) return;
    film.setWindow({ level, width });
    this.showFilm("own");
  }

  moveWindow(level, width) {
    const window = this.active.reading?.film.window;
    if (window) this.setWindow(window.level + level, window.width + width);
  }

  invert() {
    this.active.reading?.film.invert();
    this.showFilm(this.preset);
  }

  showFilm(preset) {
    this.preset = preset;
    for (const { stage } of this.shown) stage.paint("film");
    this.changed();
  }

  // Panes of one film share a view; panes of two films do not.
  look(change) {
    change(this.active.stage);
    for (const { stage } of this.shown) if (stage.view === this.active.stage.view) stage.paint("film", "evidence");
  }
}
