"""Two radiographs of one chest in one frame: the lungs' bounding box of each, and grids moved from one to the other."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.anatomy.quality import Box
from app.anatomy.zones import LUNG_ZONES, ZoneMap, overlaps

_LEAST_COVERED = 0.5  # share of a cell inside the other radiograph's square, below which it has no value


@dataclass(frozen=True)
class LungFrame:
    """The bounding box of both lungs, in fractions of the analysed square."""

    top: float
    bottom: float
    left: float
    right: float

    @classmethod
    def of(cls, zones: ZoneMap) -> "LungFrame":
        """From zones with at least one lung."""
        box, size = Box.of(np.isin(zones.zones, LUNG_ZONES)), len(zones.zones)
        return cls(box.top / size, box.bottom / size, box.left / size, box.right / size)


def moved(grids: Tensor, source: LungFrame, target: LungFrame) -> Tensor:
    """Grids [K, P, P] over the square of ``source``, in the square of ``target``, so that the lungs' frames coincide.

    Each cell is the mean of the ``source`` under it, NaN where less than half of it lies inside that square. Equal
    frames leave the grids unchanged.
    """
    side = grids.shape[-1]
    rows, row_coverage = _weights(side, (source.top, source.bottom), (target.top, target.bottom))
    columns, column_coverage = _weights(side, (source.left, source.right), (target.left, target.right))
    values = rows @ grids.double() @ columns.T
    values[:, torch.outer(row_coverage, column_coverage) < _LEAST_COVERED] = torch.nan
    return values


def _weights(side: int, source: tuple[float, float], target: tuple[float, float]) -> tuple[Tensor, Tensor]:
    """Shares of the ``side`` parts of a line in each moved part, [side, side], and how much of each is inside, [side].

    Both lines are [0, 1]; the line moves so that the section ``target`` comes to lie on ``source``.
    """
    parts: NDArray[np.float64] = np.arange(side + 1) / side
    scale = (source[1] - source[0]) / (target[1] - target[0])
    placed = parts * scale + (source[0] - target[0] * scale)
    shared = overlaps(placed, parts)
    inside = shared.sum(axis=1)
    weights = np.divide(shared, inside[:, None], out=np.zeros_like(shared), where=inside[:, None] > 0)
    return torch.from_numpy(weights), torch.from_numpy(inside / np.diff(placed))
