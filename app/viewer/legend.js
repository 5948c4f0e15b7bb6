// The legend: the palette with the logits of its ends.

import { colour, opacityOf } from "./palette.js";
import { number, translate } from "./texts.js";

const GRAY = 96; // stands for the radiograph behind the colours

// `limit`: logit of the model's full scale, the same for all radiographs; null without a reading.
export function paintLegend({ scale, low, high }, { palette, range, opacity }, limit) {
  const context = scale.getContext("2d");
  context.fillStyle = `rgb(${GRAY} ${GRAY} ${GRAY})`;
  context.fillRect(0, 0, scale.width, scale.height);
  for (let x = 0; x < scale.width; x += 1) {
    const value = (2 * x) / (scale.width - 1) - 1;
    context.fillStyle = `rgb(${colour(value, palette).join(" ")} / ${opacityOf(value) * opacity})`;
    context.fillRect(x, 0, 1, scale.height);
  }
  low.textContent = limit === null ? translate("against") : translate("legendlow", { limit: number(limit * range, 1) });
  high.textContent = limit === null ? translate("for") : translate("legendhigh", { limit: number(limit * range, 1) });
}
