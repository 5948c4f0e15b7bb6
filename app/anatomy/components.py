"""Connected components of a mask, by runs of pixels in rows; scipy is not a dependency of the service."""

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


def largest_component(mask: Mask) -> Mask:
    """The largest 4-connected component of a mask [H, W]; all False if it is empty."""
    runs = _runs(mask)
    if not runs:
        return np.zeros_like(mask)
    parents = list(range(len(runs)))

    def root(index: int) -> int:
        while parents[index] != index:
            parents[index] = parents[parents[index]]
            index = parents[index]
        return index

    for first, second in _touching(runs):
        parents[root(second)] = root(first)
    sizes: dict[int, int] = {}
    for index, (_, begin, end) in enumerate(runs):
        sizes[root(index)] = sizes.get(root(index), 0) + end - begin
    largest = max(sizes, key=lambda index: sizes[index])
    kept = np.zeros_like(mask)
    for index, (row, begin, end) in enumerate(runs):
        if root(index) == largest:
            kept[row, begin:end] = True
    return kept


def _runs(mask: Mask) -> list[tuple[int, int, int]]:
    """Row, first column and column after the last of every run, in the order of rows and columns."""
    steps = np.diff(np.pad(mask.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    rows, begins = np.nonzero(steps == 1)
    _, ends = np.nonzero(steps == -1)
    return list(zip(rows.tolist(), begins.tolist(), ends.tolist(), strict=True))


def _touching(runs: list[tuple[int, int, int]]) -> list[tuple[int, int]]:
    """Pairs of runs of neighbouring rows that share a column."""
    by_row: dict[int, list[int]] = {}
    for index, (row, _, _) in enumerate(runs):
        by_row.setdefault(row, []).append(index)
    return [
        (above, below)
        for row, members in by_row.items()
        for above in by_row.get(row - 1, ())
        for below in members
        if runs[above][1] < runs[below][2] and runs[below][1] < runs[above][2]
    ]
