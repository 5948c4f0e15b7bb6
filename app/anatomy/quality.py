"""Whether masks of lungs and heart can be trusted. The limits hold for all drawn masks, with room to spare."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from app.anatomy.components import Mask
from app.anatomy.masks import Masks
from app.anatomy.segmenter import HEART, LEFT_LUNG, RIGHT_LUNG

ReasonCode = Literal["missing", "area", "shape", "components", "symmetry", "position", "mirror", "uncertain"]

_LUNG_AREA, _HEART_AREA = (0.03, 0.32), (0.02, 0.25)  # shares of the analysed square
_LUNG_RATIO = (0.35, 2.2)  # area of the left lung over that of the right one
_LEAST_HEIGHT_PER_WIDTH = 0.85
_LEAST_FILLING_OF_LUNGS, _LEAST_FILLING_OF_HEART = 0.28, 0.5  # share of the bounding box
_LEAST_WHOLE = 0.95  # share of a mask in its largest piece
_LEAST_AGREEMENT_OF_LUNGS, _LEAST_AGREEMENT_OF_HEART = 0.92, 0.85  # Dice
_LEAST_CERTAINTY = 0.85
_LEAST_SHARED_HEIGHT = 0.6  # rows that both lungs have, over those of the shorter one
_NAMES = {LEFT_LUNG: "the left lung", RIGHT_LUNG: "the right lung", HEART: "the heart"}


@dataclass(frozen=True)
class Reason:
    """One reason not to trust masks."""

    code: ReasonCode
    detail: str


@dataclass(frozen=True)
class Box:
    """The bounding box of a mask, ends excluded."""

    top: int
    bottom: int
    left: int
    right: int

    @classmethod
    def of(cls, mask: Mask) -> "Box":
        """The box of a mask that is not empty."""
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        return cls(int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1)

    @property
    def height(self) -> int:
        """Rows."""
        return self.bottom - self.top

    @property
    def width(self) -> int:
        """Columns."""
        return self.right - self.left

    def filling(self, mask: Mask) -> float:
        """The share of the box that its mask covers."""
        return float(mask.sum()) / (self.height * self.width)


def reasons_against(masks: Masks) -> tuple[Reason, ...]:
    """Why the masks cannot be trusted; empty if they can."""
    missing = [organ for organ in _NAMES if not (masks.classes == organ).any()]
    if missing:
        return tuple(Reason("missing", f"{_NAMES[organ]} was not found") for organ in missing)
    return (*_of_each_organ(masks), *_of_all_together(masks))


def _of_each_organ(masks: Masks) -> list[Reason]:
    found: list[Reason] = []
    for organ, name in _NAMES.items():
        mask, is_heart = masks.classes == organ, organ == HEART
        area, (low, high) = float(mask.mean()), _HEART_AREA if is_heart else _LUNG_AREA
        if not low <= area <= high:
            found.append(
                Reason("area", f"{name} covers {area:.0%} of the image; plausible are {low:.0%} to {high:.0%}")
            )
        if not (_is_shaped_like_a_heart if is_heart else _is_shaped_like_a_lung)(mask):
            found.append(Reason("shape", f"the mask of {name} has an implausible shape"))
        if masks.whole_shares[organ] < _LEAST_WHOLE:
            found.append(Reason("components", f"{name} was found in several pieces"))
        least = _LEAST_AGREEMENT_OF_HEART if is_heart else _LEAST_AGREEMENT_OF_LUNGS
        if masks.agreement[organ] < least:
            found.append(Reason("mirror", f"{name} differs between the image and its mirror image"))
        if masks.certainty[organ] < _LEAST_CERTAINTY:
            found.append(Reason("uncertain", f"the outline of {name} is uncertain"))
    return found


def _is_shaped_like_a_lung(mask: Mask) -> bool:
    box = Box.of(mask)
    return box.height >= _LEAST_HEIGHT_PER_WIDTH * box.width and box.filling(mask) >= _LEAST_FILLING_OF_LUNGS


def _is_shaped_like_a_heart(mask: Mask) -> bool:
    return Box.of(mask).filling(mask) >= _LEAST_FILLING_OF_HEART


def _of_all_together(masks: Masks) -> list[Reason]:
    found: list[Reason] = []
    right, left, heart = masks.right_lung, masks.left_lung, masks.heart
    ratio = float(left.sum()) / float(right.sum())
    if not _LUNG_RATIO[0] <= ratio <= _LUNG_RATIO[1]:
        found.append(Reason("symmetry", "the lungs differ too much in size"))
    boxes = Box.of(right), Box.of(left)
    shared = min(box.bottom for box in boxes) - max(box.top for box in boxes)
    if shared < _LEAST_SHARED_HEIGHT * min(box.height for box in boxes):
        found.append(Reason("symmetry", "the lungs do not lie beside each other"))
    (_, right_middle), (heart_row, heart_middle), (_, left_middle) = (_centre(mask) for mask in (right, heart, left))
    if not right_middle < heart_middle < left_middle or heart_row < (_centre(right)[0] + _centre(left)[0]) / 2:
        found.append(Reason("position", "the heart does not lie between the lungs, in their lower part"))
    return found


def _centre(mask: Mask) -> tuple[float, float]:
    rows, columns = np.nonzero(mask)
    return float(rows.mean()), float(columns.mean())
