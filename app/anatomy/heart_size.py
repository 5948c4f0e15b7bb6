"""The cardiothoracic ratio, measured on masks: the width of the heart over the inner width of the thorax."""

from dataclasses import dataclass

import numpy as np

from app.anatomy.components import Mask
from app.anatomy.masks import Masks

_LEAST_HEIGHT = 1 / 25  # of the square: masks differ in how far thin tips run along the diaphragm


@dataclass(frozen=True)
class Line:
    """A horizontal line in fractions of the analysed square, from the left of the image to the right."""

    row: float
    start: float
    end: float

    @property
    def length(self) -> float:
        """In sides of the square."""
        return self.end - self.start


@dataclass(frozen=True)
class HeartSize:
    """The ratio and its lines.

    ``heart_right`` and ``heart_left`` run from the middle of the thorax to the outermost points of the heart on the
    patient's right and left; their lengths add up to its width. Columns in which the heart is less than 4 % of the
    square high do not count. ``thorax`` is the widest distance of the outer edges of the lungs in one row. Source:
    Danzer, "The cardiothoracic ratio", Am J Med Sci 1919.
    """

    ratio: float
    heart_right: Line
    heart_left: Line
    thorax: Line


def heart_size(masks: Masks) -> HeartSize | None:
    """Measure the heart; None where the heart or the thorax has no width."""
    right, left, heart = masks.right_lung, masks.left_lung, masks.heart
    both = np.flatnonzero(right.any(axis=1) & left.any(axis=1))
    if not len(both) or not heart.any():
        return None
    size, columns = len(heart), np.arange(heart.shape[1])
    starts = np.where(right, columns, size).min(axis=1)[both]
    ends = np.where(left, columns, -1).max(axis=1)[both] + 1
    widest = int((ends - starts).argmax())
    thorax = Line((int(both[widest]) + 0.5) / size, int(starts[widest]) / size, int(ends[widest]) / size)
    if thorax.length <= 0:
        return None
    wide = np.flatnonzero(heart.sum(axis=0) >= _LEAST_HEIGHT * size)
    if not len(wide):
        return None
    first, last = int(wide[0]), int(wide[-1])
    middle = min(max((thorax.start + thorax.end) / 2, first / size), (last + 1) / size)
    heart_right = Line(_row_of(heart, first) / size, first / size, middle)
    heart_left = Line(_row_of(heart, last) / size, middle, (last + 1) / size)
    ratio = (heart_right.length + heart_left.length) / thorax.length
    return HeartSize(ratio, heart_right, heart_left, thorax)


def _row_of(mask: Mask, column: int) -> float:
    """The middle of the rows in which a column touches the mask."""
    return float(np.flatnonzero(mask[:, column]).mean()) + 0.5
