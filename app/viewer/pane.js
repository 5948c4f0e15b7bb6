// One side of the screen: a viewport, its reading and the selected finding.

import { Viewport } from "./viewport.js";
import { View } from "./view.js";

export class Pane {
  constructor(box) {
    box.append(document.getElementById("pane").content.cloneNode(true));
    this.element = box.lastElementChild;
    this.frame = this.element.querySelector(".frame");
    this.caption = this.element.querySelector(".caption");
    this.progress = this.element.querySelector(".progress");
    this.viewport = new Viewport(this.frame, ...this.frame.querySelectorAll("canvas"), new View());
    Object.assign(this, { reading: null, finding: null, name: "", task: new AbortController() });
  }

  show(reading, finding, name) {
    Object.assign(this, { reading, finding, name });
    this.frame.querySelector(".drop").hidden = true;
    this.viewport.show(reading.radiograph, reading.geometry, reading.side);
  }

  // Unlinks zoom and pan from the other pane.
  ownView() {
    this.viewport.view = new View();
  }

  get item() {
    return this.reading?.item(this.finding) ?? null;
  }

  // Aborts the previous task of this pane and returns the signal of the new one.
  begin() {
    this.task.abort();
    this.task = new AbortController();
    return this.task.signal;
  }
}
