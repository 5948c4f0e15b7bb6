// A table of many radiographs: one row each, filled as the results arrive; sortable; saved as CSV.

import { csv } from "./csv.js";
import { save } from "./export.js";
import { findingName, percent, translate } from "./texts.js";

const AT_ONCE = 2;
const THUMBNAIL = 96;

export class Batch {
  // `ask(file, path)` sends a file and resolves to the response; `point()` is the query of the chosen operating point;
  // `open(file)` shows a file; `explainError(error)` returns its text.
  constructor(elements, { ask, point, open, explainError }) {
    Object.assign(this, { ...elements, ask, point, open, explainError, rows: [], findings: [], order: { column: "name", sign: 1 }, run: 0 });
  }

  async start(files) {
    const run = (this.run += 1);
    for (const row of this.rows) if (row.picture) URL.revokeObjectURL(row.picture);
    this.rows = files.map((file) => ({
      file, name: file.webkitRelativePath || file.name, picture: null, scores: null, model: null, notes: [], problem: null,
    }));
    this.section.hidden = false;
    this.show();
    const waiting = [...this.rows];
    const work = async () => {
      for (let row = waiting.shift(); row && run === this.run; row = waiting.shift()) {
        await this.read(row);
        if (run === this.run) this.show();
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
  }

  stop() {
    this.run += 1;
    this.section.hidden = true;
  }

  async read(row) {
    try {
      const result = await (await this.ask(row.file, `explain?class=all&format=json${this.point()}`)).json();
      row.picture = URL.createObjectURL(await (await this.ask(row.file, `film?size=${THUMBNAIL}`)).blob());
      row.scores = new Map(result.explanations.map((item) => [item.finding, item]));
      row.model = result.model;
      row.notes = result.warnings.map((warning) => warning.code);
      if (!this.findings.length) this.findings = result.explanations.filter((item) => item.grid).map((item) => item.finding);
    } catch (error) {
      row.problem = this.explainError(error);
    }
  }

  valueOf(row, column) {
    if (column === "name") return row.name;
    if (column === "note") return row.problem ?? row.notes.join(" ");
    return row.scores?.get(column)?.probability ?? -1;
  }

  sorted() {
    const { column, sign } = this.order;
    return [...this.rows].sort((one, other) => {
      const [a, b] = [this.valueOf(one, column), this.valueOf(other, column)];
      return sign * (typeof a === "string" ? a.localeCompare(b) : a - b);
    });
  }

  sortBy(column) {
    const isText = column === "name" || column === "note";
    const sign = this.order.column === column ? -this.order.sign : isText ? 1 : -1; // most probable first
    this.order = { column, sign };
    this.show();
    this.box.querySelector(`[data-column="${column}"]`).focus();
  }

  show() {
    const done = this.rows.filter((row) => row.scores || row.problem).length;
    this.progress.textContent = translate("batchprogress", { done, all: this.rows.length });
    const table = document.createElement("table");
    const head = table.createTHead().insertRow();
    const corner = head.appendChild(document.createElement("th"));
    corner.textContent = translate("thumbnail");
    for (const column of ["name", ...this.findings, "note"]) head.append(this.header(column));
    const body = table.createTBody();
    for (const row of this.sorted()) this.line(row, body.insertRow());
    this.box.replaceChildren(table);
  }

  header(column) {
    const isText = column === "name" || column === "note";
    const cell = document.createElement("th");
    cell.scope = "col";
    cell.classList.toggle("text", isText);
    const isOrder = this.order.column === column;
    cell.setAttribute("aria-sort", !isOrder ? "none" : this.order.sign > 0 ? "ascending" : "descending");
    const button = document.createElement("button");
    const text = isText ? translate(column) : findingName(column);
    button.type = "button";
    button.dataset.column = column;
    button.textContent = text + (isOrder ? (this.order.sign > 0 ? " ▴" : " ▾") : "");
    button.setAttribute("aria-label", translate("sortby", { column: text }));
    button.addEventListener("click", () => this.sortBy(column));
    cell.append(button);
    return cell;
  }

  line(row, line) {
    const cell = line.insertCell();
    if (row.picture) {
      const picture = document.createElement("img");
      Object.assign(picture, { src: row.picture, alt: "" });
      cell.append(picture);
    }
    const name = line.insertCell();
    name.className = "text";
    const button = document.createElement("button");
    Object.assign(button, { type: "button", textContent: row.name });
    button.addEventListener("click", () => this.open(row.file));
    name.append(button);
    for (const finding of this.findings) {
      const item = row.scores?.get(finding);
      const value = line.insertCell();
      value.textContent = item ? `${percent(item.probability)}${item.positive ? " ▲" : ""}` : "";
      value.classList.toggle("undecided", item?.positive === null);
      value.classList.toggle("positive", Boolean(item?.positive));
    }
    const note = line.insertCell();
    note.className = "text";
    note.textContent = row.problem ?? (row.scores ? row.notes.join(", ") : translate("waiting"));
  }

  saveCsv() {
    return save("medpatchnet-table.csv", new Blob([csv(tableOf(this.sorted(), this.findings))], { type: "text/csv" }));
  }
}

const PARTS = ["threshold", "operating point", "positive", "status"];
const MODEL_COLUMNS = ["model", "version", "weights sha256"];

// One row for each radiograph; the probability of a finding is in the column of its name.
function tableOf(rows, findings) {
  const head = ["name", ...findings.flatMap((finding) => [finding, ...PARTS.map((part) => `${finding} ${part}`)]), ...MODEL_COLUMNS, "notes"];
  return [head, ...rows.map((row) => [
    row.name, ...findings.flatMap((finding) => cellsOf(row.scores?.get(finding))), row.model?.name ?? null, row.model?.version ?? null,
    row.model?.weights_sha256 ?? null, row.problem ?? row.notes.join(" "),
  ])];
}

function cellsOf(item) {
  if (!item) return [null, ...PARTS.map(() => null)];
  return [item.probability, item.threshold, item.operating_point, item.positive === null ? null : String(item.positive), item.status];
}
