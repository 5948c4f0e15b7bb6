// One side of the screen: a stage, the reading on it, the finding it shows.

import { Stage } from "./stage.js";
import { View } from "./view.js";

export class Pane {
  constructor(box) {
    box.append(document.getElementById("pane").content.cloneNode(true));
    this.element = box.lastElementChild;
    this.frame = this.element.querySelector(".frame");
    this.caption = this.element.querySelector(".caption");
    this.progress = this.element.querySelector(".progress");
    this.stage = new Stage(this.frame, ...this.frame.querySelectorAll("canvas"), new View());
    Object.assign(this, { reading: null, finding: null, name: "", task: new AbortController() });
  }

  show(reading, finding, name) {
    Object.assign(this, { reading, finding, name });
    this.frame.querySelector(".drop").hidden = true;
    this.stage.show(reading.film, reading.geometry, reading.side);
  }

  // Ends moving as one with the other pane.
  ownView() {
    this.stage.view = new View();
  }

  get item() {
    return this.reading?.item(this.finding) ?? null;
  }

  // A new task in this pane ends the one before.
  begin() {
    this.task.abort();
    this.task = new AbortController();
    return this.task.signal;
  }
}
