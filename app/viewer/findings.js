// The list of findings with bars, thresholds and status. Rows are built once for a reading, then updated in place.

import { findingName, percent, translate } from "./texts.js";

export class FindingList {
  constructor(box, onChoose) {
    Object.assign(this, { box, onChoose, rows: new Map(), shown: null });
    box.addEventListener("keydown", (event) => {
      const by = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
      if (!by || !this.shown) return;
      event.preventDefault();
      this.step(by);
      this.box.querySelector('[aria-checked="true"]').focus();
    });
  }

  step(by) {
    const names = this.shown?.reading.scored ?? [];
    if (names.length) this.onChoose(names[(names.indexOf(this.shown.finding) + by + names.length) % names.length]);
  }

  show(reading, finding, rule, language) {
    if (this.shown?.reading !== reading || this.shown.language !== language) this.build(reading);
    this.shown = { reading, finding, rule, language };
    for (const item of reading.items) this.write(item, this.rows.get(item.finding));
  }

  build(reading) {
    this.rows = new Map(reading.items.map((item) => [item.finding, this.row(item)]));
    this.box.replaceChildren(...[...this.rows.values()].map((row) => row.element));
  }

  row(item) {
    const element = document.createElement("div");
    element.className = "finding";
    element.dataset.finding = item.finding;
    element.setAttribute("role", "radio");
    if (item.grid) element.addEventListener("click", () => this.onChoose(item.finding));
    else element.setAttribute("aria-disabled", "true");
    const part = (tag, className, parent = element) => {
      const made = document.createElement(tag);
      made.className = className;
      parent.append(made);
      return made;
    };
    const name = part("span", "name");
    name.textContent = findingName(item.finding) + (item.status === "validated" ? "" : ` (${translate(item.status)})`);
    const mark = part("span", "mark");
    const value = part("span", "value");
    const before = part("span", "before");
    const bar = part("span", "bar");
    const length = part("i", "length", bar);
    if (item.threshold !== null) part("b", "threshold", bar).style.left = percentOf(item.threshold);
    return { element, mark, value, before, length };
  }

  write(item, { element, mark, value, before, length }) {
    const { reading, finding, rule } = this.shown;
    const probability = reading.probability(item, rule);
    const isChosen = item.finding === finding;
    const isPositive = probability !== null && item.threshold !== null && probability >= item.threshold;
    element.setAttribute("aria-checked", String(isChosen));
    element.tabIndex = isChosen ? 0 : -1;
    element.classList.toggle("positive", isPositive);
    element.classList.toggle("untrained", !item.grid);
    value.textContent = probability === null ? "–" : percent(probability);
    if (probability === null) delete value.dataset.probability;
    else value.dataset.probability = String(probability);
    mark.textContent = isPositive ? "▲" : "";
    before.textContent = reading.removed.size && item.grid ? percent(item.probability) : "";
    length.style.width = percentOf(probability ?? 0);
  }
}

const percentOf = (share) => `${share * 100}%`;
