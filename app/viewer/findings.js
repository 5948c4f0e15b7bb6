// The list of findings: the positive ones first, No Finding apart, the rest folded. Rows are built once for a reading, then
// updated in place.

import { findingName, percent, translate } from "./texts.js";

const FOLDED = ["negative", "undecided"];

export class FindingList {
  constructor(box, onChoose) {
    Object.assign(this, { box, onChoose, rows: new Map(), shown: null });
    box.addEventListener("keydown", (event) => {
      const by = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
      if (!by || !this.shown || event.target.tagName === "SUMMARY") return;
      event.preventDefault();
      this.step(by);
      this.box.querySelector('[aria-checked="true"]').focus();
    });
  }

  step(by) {
    const names = this.shown?.reading.scored ?? [];
    if (names.length) this.onChoose(names[(names.indexOf(this.shown.finding) + by + names.length) % names.length]);
  }

  clear() {
    this.shown = null;
    this.box.replaceChildren();
  }

  show(reading, finding, decisions, language) {
    const isNew = this.shown?.reading !== reading || this.shown.language !== language;
    const isMoved = isNew || this.shown.finding !== finding;
    if (isNew) this.build(reading);
    this.shown = { reading, finding, decisions, language };
    for (const item of reading.items) this.write(item, this.rows.get(item.finding));
    if (isMoved) this.reveal(finding);
  }

  build(reading) {
    this.rows = new Map(reading.items.map((item) => [item.finding, this.row(item)]));
    const { positive, apart, ...rest } = reading.groups;
    for (const { finding } of apart) this.rows.get(finding).element.classList.add("apart");
    const rowsOf = (items) => items.map(({ finding }) => this.rows.get(finding).element);
    const none = make("p", "none");
    none.textContent = translate("nonepositive");
    const folds = FOLDED.filter((name) => rest[name].length).map((name) => fold(translate(name, { count: rest[name].length }), rowsOf(rest[name])));
    this.box.replaceChildren(...(positive.length ? rowsOf(positive) : [none]), ...rowsOf(apart), ...folds);
  }

  row(item) {
    const element = make("div", "finding");
    element.dataset.finding = item.finding;
    element.setAttribute("role", "radio");
    if (item.grid) element.addEventListener("click", () => this.onChoose(item.finding));
    else element.setAttribute("aria-disabled", "true");
    const part = (tag, className, parent = element) => parent.appendChild(make(tag, className));
    part("span", "name").textContent = findingName(item.finding) + (item.status === "validated" ? "" : ` (${translate(item.status)})`);
    const mark = part("span", "mark");
    const value = part("span", "value");
    const before = part("span", "before");
    const bar = part("span", "bar");
    const length = part("i", "length", bar);
    if (item.threshold !== null && item.positive !== null) part("b", "threshold", bar).style.left = percentOf(item.threshold);
    return { element, mark, value, before, length, contradiction: part("span", "contradiction") };
  }

  write(item, { element, mark, value, before, length, contradiction }) {
    const { reading, finding, decisions } = this.shown;
    const { probability, isPositive, contradictedBy } = decisions.get(item.finding);
    const isChosen = item.finding === finding;
    element.setAttribute("aria-checked", String(isChosen));
    element.tabIndex = isChosen ? 0 : -1;
    element.classList.toggle("positive", Boolean(isPositive));
    element.classList.toggle("untrained", !item.grid);
    element.classList.toggle("undecided", isPositive === null);
    value.textContent = probability === null ? "–" : percent(probability);
    if (probability === null) delete value.dataset.probability;
    else value.dataset.probability = String(probability);
    mark.textContent = isPositive ? "▲" : "";
    before.textContent = reading.removed.size && item.grid ? percent(item.probability) : "";
    length.style.width = percentOf(probability ?? 0);
    contradiction.textContent = contradictedBy.length ? translate("contradicted", { findings: contradictedBy.map(findingName).join(", ") }) : "";
  }

  // Keeps the selected finding in sight.
  reveal(finding) {
    const element = this.rows.get(finding)?.element;
    if (!element) return;
    const folded = element.closest("details");
    if (folded) folded.open = true;
    const panel = this.box.parentElement;
    const [row, seen] = [element.getBoundingClientRect(), panel.getBoundingClientRect()];
    const top = seen.top + panel.querySelector("#selected").offsetHeight; // its details stay above the list
    if (row.top < top) panel.scrollTop -= top - row.top;
    else if (row.bottom > seen.bottom) panel.scrollTop += row.bottom - seen.bottom;
  }
}

function fold(title, rows) {
  const element = make("details", "fold");
  element.appendChild(make("summary", "")).textContent = title;
  element.append(...rows);
  return element;
}

function make(tag, className) {
  const element = document.createElement(tag);
  element.className = className;
  return element;
}

const percentOf = (share) => `${share * 100}%`;
