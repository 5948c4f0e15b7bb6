// Diverging palettes, ColorBrewer RdBu and PuOr (Cynthia Brewer), identical to the service's pictures, from evidence against to
// evidence for. Orange and purple differ in every common colour blindness.

const ANCHORS = {
  "red-blue": ["053061", "2166ac", "4393c3", "92c5de", "d1e5f0", "f7f7f7", "fddbc7", "f4a582", "d6604d", "b2182b", "67001f"],
  "orange-purple": ["2d004b", "542788", "8073ac", "b2abd2", "d8daeb", "f7f7f7", "fee0b6", "fdb863", "e08214", "b35806", "7f3b08"],
};
const LEVELS = 513; // odd: 0 has its own entry

function table(anchors) {
  const parts = anchors.map((text) => [0, 2, 4].map((at) => Number.parseInt(text.slice(at, at + 2), 16)));
  return Array.from({ length: LEVELS }, (_, level) => {
    const at = (level / (LEVELS - 1)) * (parts.length - 1);
    const left = Math.min(Math.floor(at), parts.length - 2);
    return parts[left].map((part, i) => Math.round(part + (parts[left + 1][i] - part) * (at - left)));
  });
}

const tables = Object.fromEntries(Object.entries(ANCHORS).map(([name, anchors]) => [name, table(anchors)]));

// The colour [r, g, b] of evidence in [-1, 1]; values beyond are clipped.
export function colour(value, palette) {
  const middle = (LEVELS - 1) / 2;
  return tables[palette][Math.round(Math.min(1, Math.max(-1, value)) * middle + middle)];
}
