// What the grids say. Pure arithmetic on patch logits, the same as the service's: no page, no network.

export const sigmoid = (logit) => 1 / (1 + Math.exp(-logit));

// The logit without some patches. `grid` is rows of patch logits, `removed` a set of row * side + column.
// "drop": mean over the rest, null where nothing is left; "neutral": a removed patch counts with logit 0.
export function remaining(grid, removed, rule) {
  let total = 0;
  let count = 0;
  grid.forEach((row, r) => row.forEach((logit, c) => {
    if (!removed.has(r * row.length + c)) {
      total += logit;
      count += 1;
    }
  }));
  if (rule === "neutral") return total / (grid.length * grid[0].length);
  return count ? total / count : null;
}

export function ring(side) {
  const cells = [];
  for (let index = 0; index < side * side; index += 1) {
    const row = Math.floor(index / side);
    const column = index % side;
    if (row === 0 || column === 0 || row === side - 1 || column === side - 1) cells.push(index);
  }
  return cells;
}

export const everythingBut = (cells, side) => {
  const kept = new Set(cells);
  return Array.from({ length: side * side }, (_, index) => index).filter((index) => !kept.has(index));
};

// Colours of evidence from -1 (against) over 0 (abstains) to 1 (for), as [r, g, b].
const ends = { "red-blue": [[33, 102, 172], [178, 24, 43]], "orange-purple": [[94, 60, 153], [230, 97, 1]] };
export function colour(value, palette) {
  const end = ends[palette][value < 0 ? 0 : 1];
  const strength = Math.min(1, Math.abs(value));
  return end.map((part) => Math.round(247 + (part - 247) * strength));
}
