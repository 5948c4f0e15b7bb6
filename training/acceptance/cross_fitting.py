"""Calibration and thresholds that are fitted on some patients and measured on others.

Figures of a threshold on the radiographs that chose it are too good. Here every decision is made by a calibration and a
threshold that come from other patients: k-fold cross-fitting.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from app.patchnet.findings import FINDING_NAMES
from training.measure.operating_points import operating_points
from training.publish.calibration import fit_platt

Array = NDArray[np.float64]

FOLDS = 5


def cross_calibrated(logits: Array, labels: Array, groups: NDArray[np.int64]) -> Array:
    """Probabilities [N, C] after Platt scaling that was fitted on other patients: [N, C] logits and labels."""
    found = np.empty(logits.shape)
    for held_out in _folds(groups):
        slopes, intercepts = fit_platt(logits[~held_out], labels[~held_out])
        found[held_out] = expit(logits[held_out] * slopes + intercepts)
    return found


@dataclass(frozen=True)
class CrossDecided:
    """Decisions [N] of one finding at one operating point, 1, 0 or NaN, each by a threshold from other patients.

    ``threshold`` is the median of these thresholds, so that the figures of the decisions hold for it.
    """

    called: Array
    threshold: float

    @property
    def decided(self) -> NDArray[np.bool_]:
        """Mask [N] of the radiographs with a decision."""
        return ~np.isnan(self.called)


def cross_decided(logits: Array, labels: Array, groups: NDArray[np.int64], column: int) -> dict[str, CrossDecided]:
    """The decisions of one finding by name of the operating point: [N, C] logits and labels."""
    decided: dict[str, Array] = {}
    thresholds: dict[str, list[float]] = {}
    for held_out in _folds(groups):
        points = operating_points(expit(logits[~held_out, column]), labels[~held_out, column], FINDING_NAMES[column])
        for name, point in points.items():
            called = decided.setdefault(name, np.full(len(labels), np.nan))
            called[held_out] = expit(logits[held_out, column]) >= point.threshold
            thresholds.setdefault(name, []).append(point.threshold)
    return {name: CrossDecided(called, float(np.median(thresholds[name]))) for name, called in decided.items()}


def _folds(groups: NDArray[np.int64]) -> Iterator[NDArray[np.bool_]]:
    """Masks of the held-out films; all films of a patient are in one fold."""
    for fold in range(FOLDS):
        held_out = groups % FOLDS == fold
        if held_out.any() and not held_out.all():
            yield held_out
