// Texts about a reading: warnings, the selected finding, a patch, the arithmetic.

import { placeOf, remaining, shareOf, sigmoid } from "./evidence.js";
import { colour } from "./palette.js";
import { findingName, number, percent, translate, translateIfKnown } from "./texts.js";

const BORDER_SHARE = 1 / 3;

export function warningsOf(reading, item) {
  const texts = reading.result.warnings.map(({ code, detail }) => translateIfKnown(`warning ${code}`, cropWords(reading), detail));
  if ((item?.evidence?.outer_ring_share ?? 0) > BORDER_SHARE) texts.push(translate("border"));
  return texts;
}

function cropWords({ result: { image: { rows, columns, crop } } }) {
  const lost = percent(1 - crop.size ** 2 / (rows * columns), 0);
  return { lost, axis: translate(rows > columns ? "topbottom" : "leftright") };
}

export function aboutFinding(item, quality) {
  if (!item) return "";
  const status = translate(`status${item.status}`);
  const name = findingName(item.finding);
  const threshold = item.threshold === null ? "–" : percent(item.threshold);
  if (!quality) return `${name}: ${translate("about", { status, threshold })}`;
  return `${name}: ${translate("aboutquality", { status, threshold, auroc: number(quality.auroc, 2), dataset: quality.dataset })}`;
}

export function aboutCell(reading, item, cell) {
  if (cell === null || !item?.grid) return "";
  const [row, column] = placeOf(cell, reading.side);
  const share = shareOf(item.grid.patch_logits, cell);
  const { geometry } = reading;
  const size = geometry.height / reading.side;
  const text = translate("cell", {
    row: row + 1, column: column + 1, logit: number(item.grid.patch_logits[row][column], 3), share: share === null ? "–" : percent(share),
    top: Math.round(geometry.row + row * size), bottom: Math.round(geometry.row + (row + 1) * size),
    left: Math.round(geometry.column + column * size), right: Math.round(geometry.column + (column + 1) * size),
  });
  return reading.removed.has(cell) ? `${text} (${translate("removed")})` : text;
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

export const captionOf = ({ name, finding, item, reading }, rule) => {
  if (!reading) return translate("noradiograph");
  const probability = item ? reading.probability(item, rule) : null;
  return translate("caption", { name, finding: finding ? findingName(finding) : "", probability: probability === null ? "–" : percent(probability) });
};

// The scale is the model's, the same for all radiographs.
export function paintLegend({ scale, low, high }, palette, limit) {
  const context = scale.getContext("2d");
  for (let x = 0; x < scale.width; x += 1) {
    context.fillStyle = `rgb(${colour((2 * x) / (scale.width - 1) - 1, palette).join(" ")})`;
    context.fillRect(x, 0, 1, scale.height);
  }
  low.textContent = limit === null ? translate("against") : `${translate("against")} ${number(-limit, 1)}`;
  high.textContent = limit === null ? translate("for") : `+${number(limit, 1)} ${translate("for")}`;
}
