// A radiograph, the result of the service, and the patches that the reader removed.

import { remaining, sigmoid } from "./evidence.js";

const NO_FINDING = "No Finding";
const NOT_A_DISEASE = new Set([NO_FINDING, "Support Devices"]);

export class Reading {
  // `limit`: logit of the strongest colour, the same for all radiographs of a model. `header`: attributes of a DICOM file, or null.
  // `facts`: by finding, what GET /findings returns.
  constructor({ file, name, radiograph, result, limit, header, facts }) {
    Object.assign(this, { file, name, radiograph, result, limit, header, facts, removed: new Set(), history: [], maps: new Map(), lines: [] });
    this.geometry = result.explanations[0].geometry;
    this.side = result.explanations.find((item) => item.grid)?.grid.rows ?? 0;
    this.groups = grouped(result.explanations);
    this.items = [...this.groups.positive, ...this.groups.apart, ...this.groups.negative, ...this.groups.undecided];
  }

  // The same radiograph and removed patches with another result: that of another operating point.
  with(result) {
    const { removed, history, maps, lines, refined } = this;
    return Object.assign(new Reading({ ...this, result }), { removed, history, maps, lines, refined });
  }

  // Names of all operating points of the model.
  get pointNames() {
    return [...new Set([...this.facts.values()].flatMap(({ operating_points: points }) => Object.keys(points)))];
  }

  get isDicom() {
    return this.result.image.format === "dicom";
  }

  get scored() {
    return this.items.filter((item) => item.grid).map((item) => item.finding);
  }

  // The strongest positive finding; without one, No Finding.
  get first() {
    const item = this.groups.positive[0] ?? this.groups.apart.find(({ grid }) => grid) ?? this.items.find(({ grid }) => grid);
    return item?.finding ?? null;
  }

  item(finding) {
    return this.result.explanations.find((item) => item.finding === finding) ?? null;
  }

  // The probability without the removed patches, or null.
  probability(item, rule) {
    const logit = item.grid ? remaining(item.grid.patch_logits, this.removed, rule) : null;
    return logit === null ? null : sigmoid(logit);
  }

  // By finding, without the removed patches: { probability, isPositive, contradictedBy }. `isPositive` is null if the service
  // does not decide on the finding. No Finding is decided as in the service: by its probability, and no other positive finding.
  decisions(rule) {
    const decisions = new Map(this.items.map((item) => {
      const probability = this.probability(item, rule);
      const isPositive = item.positive === null || probability === null ? null : probability >= item.threshold;
      return [item.finding, { probability, isPositive, contradictedBy: [] }];
    }));
    const healthy = decisions.get(NO_FINDING);
    const positives = [...decisions].filter(([name, { isPositive }]) => isPositive && !NOT_A_DISEASE.has(name)).map(([name]) => name);
    if (healthy?.isPositive && positives.length) Object.assign(healthy, { isPositive: false, contradictedBy: positives });
    return decisions;
  }

  remove(cells) {
    this.history.push(this.removed);
    this.removed = new Set(cells);
  }

  // Starts a stroke: it removes patches if its first patch was present, else it restores them.
  press(cell) {
    this.isErasing = !this.removed.has(cell);
    this.history.push(this.removed);
    this.removed = new Set(this.removed);
    this.brush(cell);
  }

  // Continues the stroke. Returns whether the patch changed.
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

// By the decision on the whole radiograph, each group by falling probability: rows keep their place while patches are removed.
function grouped(explanations) {
  const ordered = [...explanations].sort((one, other) => (other.probability ?? -1) - (one.probability ?? -1));
  const apart = ordered.filter(({ finding }) => finding === NO_FINDING);
  const others = ordered.filter(({ finding }) => finding !== NO_FINDING);
  const having = (positive) => others.filter((item) => item.positive === positive);
  return { positive: having(true), apart, negative: having(false), undecided: having(null) };
}
