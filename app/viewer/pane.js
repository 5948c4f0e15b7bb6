// One side of the screen: a viewport, its reading and the selected finding, or the reason why there is none.

import { View } from "./view.js";
import { Viewport } from "./viewport.js";

export class Pane {
  constructor(box) {
    box.append(document.getElementById("pane").content.cloneNode(true));
    this.element = box.lastElementChild;
    const part = (name) => this.element.querySelector(`.${name}`);
    Object.assign(this, { frame: part("frame"), caption: part("caption"), progress: part("progress"), empty: part("drop"), mode: part("mode") });
    this.corners = { patient: part("patient"), study: part("study"), figures: part("figures") };
    this.edges = Object.fromEntries(["left", "right", "top", "bottom"].map((edge) => [edge, this.element.querySelector(`.edge.${edge}`)]));
    this.viewport = new Viewport(this.frame, ...this.frame.querySelectorAll("canvas"), new View());
    Object.assign(this, { reading: null, finding: null, name: "", problem: "", task: new AbortController() });
  }

  show(reading, finding) {
    Object.assign(this, { reading, finding, name: reading.name });
    this.viewport.show(reading.radiograph, reading.geometry, reading.side);
  }

  get item() {
    return this.reading?.item(this.finding) ?? null;
  }

  // Aborts the previous task, clears the pane for the file of the new one, and returns its signal: no old result stays beside
  // the progress or the problem of a new file.
  begin(name) {
    this.task.abort();
    this.task = new AbortController();
    Object.assign(this, { reading: null, finding: null, name, problem: "" });
    this.viewport.clear();
    return this.task.signal;
  }
}
