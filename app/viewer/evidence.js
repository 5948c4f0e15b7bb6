// What the grids say. Pure arithmetic on patch logits, the same as the service's: no page, no network.
// A patch ("cell") is its place in the grid, row * side + column.

export const sigmoid = (logit) => 1 / (1 + Math.exp(-logit));

// The logit without some patches. `grid` is rows of patch logits, `removed` a set of cells.
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

// The share of one patch in the sum that is the decision; null where the sum is 0. Can be negative and over 1.
export function shareOf(grid, cell) {
  const total = grid.flat().reduce((sum, logit) => sum + logit, 0);
  return total === 0 ? null : grid.flat()[cell] / total;
}

export function ring(side) {
  const last = side - 1;
  return everyCell(side).filter((cell) => {
    const [row, column] = placeOf(cell, side);
    return row === 0 || column === 0 || row === last || column === last;
  });
}

export function everythingBut(cells, side) {
  const kept = new Set(cells);
  return everyCell(side).filter((cell) => !kept.has(cell));
}

export const placeOf = (cell, side) => [Math.floor(cell / side), cell % side];

const everyCell = (side) => Array.from({ length: side * side }, (_, cell) => cell);
