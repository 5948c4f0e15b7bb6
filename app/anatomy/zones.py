"""Zones of a chest radiograph, and the exact sum of a decision over them.

Every pixel of the analysed square belongs to one zone. A patch that several zones share gives each its share of the
area, so the evidence of the zones adds up to the logit, the mean of the patch logits.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.anatomy.components import Mask
from app.anatomy.masks import Masks

ZoneName = Literal[
    "right_upper",
    "right_middle",
    "right_lower",
    "left_upper",
    "left_middle",
    "left_lower",
    "heart_mediastinum",
    "body",
    "border",
    "cropped",
]
ZONES: tuple[ZoneName, ...] = get_args(ZoneName)
"""Names of the zones, by index; left and right are those of the patient.

Thirds of the height of each lung; the heart with the region between the lungs; the rest of the body; a strip along the
edge of the picture; constant rows and columns at its edge (collimation, padding).
"""

_HEART, _BODY, _BORDER, _CROPPED = range(6, 10)
LUNG_ZONES = range(6)
OUTSIDE = (_BODY, _BORDER, _CROPPED)
"""The zones outside the lungs, the heart and the mediastinum."""

ANYWHERE = frozenset({"No Finding", "Support Devices"})
"""The findings whose evidence can lie in any zone."""

OUTSIDE_LIMIT = 0.75
"""Share of the positive evidence outside lungs, heart and mediastinum above which a positive decision is suspicious."""

_BORDER_WIDTH = 1 / 16  # of the square's side: half a patch of 64 px
_CONSTANT = 0.03  # largest difference of gray levels in a constant row: the noise of JPEG


@dataclass(frozen=True)
class ZoneEvidence:
    """The part of one zone in the decision about one finding.

    ``evidence`` is in logits, and adds up to the logit over the zones; ``share`` is its share of the logit, None if the
    logit is 0. ``evidence_for`` sums the positive patch logits alone; ``share_for`` is its share of them, None without
    positive evidence.
    """

    evidence: float
    share: float | None
    evidence_for: float
    share_for: float | None


@dataclass(frozen=True)
class ZoneMap:
    """The zone of each pixel [S, S] uint8, index of ``ZONES``."""

    zones: NDArray[np.uint8]

    @property
    def areas(self) -> tuple[float, ...]:
        """The share of each zone in the analysed square; they add up to 1."""
        return tuple((np.bincount(self.zones.ravel(), minlength=len(ZONES)) / self.zones.size).tolist())

    def patch_shares(self, side: int) -> Tensor:
        """Shares of the zones in each patch of a ``side`` × ``side`` grid: [Z, P²] float64; a column adds up to 1."""
        size = len(self.zones)
        shares = overlaps(np.arange(side + 1) / side, np.arange(size + 1) / size) * side
        of_lines = torch.from_numpy(shares)  # [P, S]; a row adds up to 1
        members = torch.from_numpy(self.zones == np.arange(len(ZONES))[:, None, None]).double()  # [Z, S, S]
        return (of_lines @ members @ of_lines.T).flatten(1)


def zone_map(masks: Masks, pixels: NDArray[np.float32]) -> ZoneMap:
    """The zones of masks [S, S] over the analysed square ``pixels`` [S, S] in [0, 1]."""
    top, bottom, left, right = _picture(pixels)
    size = len(pixels)
    zones = np.full((size, size), _CROPPED, dtype=np.uint8)
    zones[top:bottom, left:right] = _BORDER
    strip = round(size * _BORDER_WIDTH)
    zones[top + strip : bottom - strip, left + strip : right - strip] = _BODY
    zones[_mediastinum(masks)] = _HEART
    for first, lung in ((0, masks.right_lung), (3, masks.left_lung)):
        zones[lung] = first + _thirds(lung)[lung]
    return ZoneMap(zones)


def ledger(patch_logits: Tensor, patch_shares: Tensor) -> tuple[ZoneEvidence, ...]:
    """The evidence of each zone for one finding, given as [P²] logits; ``patch_shares`` as in ``ZoneMap``."""
    exact = patch_logits.double() / len(patch_logits)
    sums, sums_for = patch_shares @ exact, patch_shares @ exact.clamp(min=0)
    logit, total_for = float(exact.sum()), float(exact.clamp(min=0).sum())
    return tuple(
        ZoneEvidence(
            evidence=evidence,
            share=evidence / logit if logit else None,
            evidence_for=evidence_for,
            share_for=evidence_for / total_for if total_for else None,
        )
        for evidence, evidence_for in zip(sums.tolist(), sums_for.tolist(), strict=True)
    )


def outside_share(zones: tuple[ZoneEvidence, ...]) -> float | None:
    """Share of the positive evidence outside lungs, heart and mediastinum; None without positive evidence."""
    total = sum(zone.evidence_for for zone in zones)
    return sum(zones[index].evidence_for for index in OUTSIDE) / total if total else None


def _picture(pixels: NDArray[np.float32]) -> tuple[int, int, int, int]:
    """Rows top … bottom and columns left … right of the picture, without constant rows and columns at its edges."""
    top, bottom, left, right = 0, len(pixels), 0, len(pixels)
    while True:
        before = top, bottom, left, right
        rows = _varied(pixels[top:bottom, left:right], axis=1)
        top, bottom = top + int(rows.argmax()), bottom - int(rows[::-1].argmax())
        columns = _varied(pixels[top:bottom, left:right], axis=0)
        left, right = left + int(columns.argmax()), right - int(columns[::-1].argmax())
        if (top, bottom, left, right) == before:
            return before


def _varied(pixels: NDArray[np.float32], axis: int) -> Mask:
    """Which rows (axis 1) or columns (axis 0) are not constant; all of them if none is varied."""
    varied = np.asarray(np.ptp(pixels, axis=axis) > _CONSTANT, dtype=np.bool_)
    return varied if varied.any() else np.ones_like(varied)


def _mediastinum(masks: Masks) -> Mask:
    """The heart, and in the rows of both lungs what lies between them."""
    right, left = masks.right_lung, masks.left_lung
    columns = np.arange(right.shape[1])
    inner_right = np.where(right, columns, -1).max(axis=1)  # the right lung is on the left of the image
    inner_left = np.where(left, columns, right.shape[1]).min(axis=1)
    both: Mask = np.logical_and(right.any(axis=1), left.any(axis=1))
    between = (columns > inner_right[:, None]) & (columns < inner_left[:, None])
    return masks.heart | (between & both[:, None])


def _thirds(lung: Mask) -> NDArray[np.uint8]:
    """For each pixel 0, 1 or 2: upper, middle or lower third of the height of a lung [S, S]."""
    rows = np.flatnonzero(lung.any(axis=1))
    if not len(rows):
        return np.zeros(lung.shape, dtype=np.uint8)
    top, height = rows[0], rows[-1] + 1 - rows[0]
    third = ((np.arange(len(lung)) + 0.5 - top) * 3 / height).clip(0, 2).astype(np.uint8)
    return np.broadcast_to(third[:, None], lung.shape)


def overlaps(parts: NDArray[np.float64], cells: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lengths that the parts and the cells of a line share, both given by their increasing edges: [parts, cells]."""
    low = np.maximum(parts[:-1, None], cells[None, :-1])
    high = np.minimum(parts[1:, None], cells[None, 1:])
    return (high - low).clip(min=0)
