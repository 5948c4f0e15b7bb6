// Arithmetic on patch logits, identical to the service's. No DOM, no requests.
// A patch ("cell") is its place in the grid, row * side + column.

export const sigmoid = (logit) => 1 / (1 + Math.exp(-logit));

// The logit without the removed patches. `grid`: rows of patch logits; `removed`: a set of cells.
// "drop": the mean of the remaining patches, null without any; "neutral": a removed patch counts as logit 0.
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

// The share of one patch in the sum of all; null if the sum is 0. Can be negative and greater than 1.
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
