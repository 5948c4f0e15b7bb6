// Texts about a reading: warnings, the selected finding, a patch, a smallest set, the arithmetic.

import { everythingBut, placeOf, remaining, shareOf, sigmoid } from "./evidence.js";
import { findingName, number, percent, pointName, translate, translateIfKnown } from "./texts.js";

const BORDER_SHARE = 1 / 3;

export function warningsOf(reading, item) {
  const texts = reading.result.warnings.map(({ code, detail }) => translateIfKnown(`warning ${code}`, cropWords(reading), detail));
  if ((item?.evidence?.outer_ring_share ?? 0) > BORDER_SHARE) texts.push(translate("border"));
  return texts;
}

function cropWords({ result: { image: { rows, columns, crop } } }) {
  const lost = percent(1 - (crop.size * crop.size) / (rows * columns), 0);
  return { lost, axis: translate(rows > columns ? "topbottom" : "leftright") };
}

// The headline of the selected finding: its name, probability and decision.
export function headlineOf(item, { probability, isPositive }) {
  const decision = isPositive === null ? "nodecision" : isPositive ? "positive" : "negativeone";
  return translate("headline", { finding: findingName(item.finding), probability: percentOrNone(probability), decision: translate(decision) });
}

// Figures of the selected finding at its operating point, as [label, value]; what was not measured is left out.
export function figuresOf(item, facts) {
  const point = facts?.operating_points[item.operating_point] ?? {};
  const shares = ["sensitivity", "specificity", "ppv", "npv"].map((name) => [name, point[name]]);
  const known = [["threshold", item.threshold], ...shares].filter(([, value]) => (value ?? null) !== null);
  const figures = known.map(([name, value]) => [translate(`figure ${name}`), percent(value, name === "threshold" ? 1 : 0)]);
  return facts?.quality ? [...figures, [translate("figure auroc"), number(facts.quality.auroc, 2)]] : figures;
}

// Status, operating point and the radiographs of the measurement.
export function provenanceOf(item, facts) {
  const point = facts?.operating_points[item.operating_point];
  const texts = [translate(`status ${item.status}`)];
  if (item.operating_point) texts.push(translate("operatingpoint", { name: pointName(item.operating_point) }));
  const measured = (point?.dataset ? point : facts?.quality) ?? null;
  if (measured?.positives !== undefined && measured?.positives !== null) {
    texts.push(translate("measured", { dataset: measured.dataset, positives: measured.positives, negatives: measured.negatives }));
  }
  if ((point?.prevalence ?? null) !== null) texts.push(translate("prevalence", { share: percent(point.prevalence) }));
  return `${texts.join(". ")}.`;
}

export function aboutCell(reading, item, cell) {
  if (cell === null || !item?.grid) return "";
  const [row, column] = placeOf(cell, reading.side);
  const logit = item.grid.patch_logits[row][column];
  const share = shareOf(item.grid.patch_logits, cell);
  const text = translate(share === null ? "cellneutral" : logit > 0 ? "cellfor" : "cellagainst", {
    row: row + 1, column: column + 1, logit: signed(logit, 2), finding: findingName(item.finding),
    share: share === null ? "" : percent(share, 0), part: signed(logit / reading.side ** 2, 3),
  });
  return reading.removed.has(cell) ? `${text} (${translate("removed")})` : text;
}

// What a smallest set means, in numbers of the patches alone or of the rest.
export function aboutSet(reading, item, kind, cells, rule) {
  if (!kind) return "";
  if (!cells) return translate("noset");
  const removed = new Set(kind === "flip" ? cells : everythingBut(cells, reading.side));
  const logit = remaining(item.grid.patch_logits, removed, rule);
  const probability = logit === null ? null : sigmoid(logit);
  const values = {
    count: cells.length, all: reading.side ** 2, probability: percentOrNone(probability), threshold: percent(item.threshold),
    side: translate(probability !== null && probability >= item.threshold ? "atorabove" : "below"),
  };
  return translate(kind === "flip" ? "aboutflip" : "aboutsufficient", values);
}

export function arithmetic(reading, item, rule) {
  if (!item?.grid) return "";
  const grid = item.grid.patch_logits;
  const text = translate("exact", {
    mean: number(remaining(grid, new Set(), "drop"), 6), logit: number(item.logit, 6), count: reading.removed.size, all: reading.side ** 2,
  });
  if (!reading.removed.size) return text;
  const logit = remaining(grid, reading.removed, rule);
  if (logit === null) return `${text}; ${translate("nothingleft")}`;
  return `${text}; ${translate("after", { logit: number(logit, 6), probability: percent(sigmoid(logit)) })}`;
}

export function captionOf({ name, finding, item, reading }, rule) {
  if (!reading) return name || translate("noradiograph");
  const probability = item ? reading.probability(item, rule) : null;
  return translate("caption", { name, finding: finding ? findingName(finding) : "", probability: percentOrNone(probability) });
}

const percentOrNone = (share) => (share === null ? "–" : percent(share));

function signed(value, digits) {
  return (value > 0 ? "+" : "") + number(value, digits);
}
