"""Operating points of a finding, and the number of positive findings per radiograph at one of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.patchnet.decisions import NO_FINDING, contradicting
from app.patchnet.findings import FINDING_NAMES
from app.patchnet.manifest import FindingRecord, OperatingPoint
from training.measure.metrics import best_threshold, decisions

Array = NDArray[np.float64]

BALANCED, SENSITIVE, SPECIFIC = "balanced", "sensitive", "specific"
TARGET = 0.90
"""Least sensitivity of ``sensitive``, least specificity of ``specific``."""

MOST_POSITIVES, MOST_POSITIVES_ON_NORMAL = 1.5, 0.7
"""Largest mean number of positive findings per radiograph at the default operating point, on all and on normal ones."""

_EXTREME = 1e-9


def operating_points(probabilities: Array, labels: Array, dataset: str) -> dict[str, OperatingPoint]:
    """The three named points of one finding, [N] each, NaN labels excluded; empty without both classes.

    ``balanced`` has the largest sensitivity + specificity (Youden), ``sensitive`` the highest threshold with a
    sensitivity of at least 0.90, ``specific`` the lowest threshold with a specificity of at least 0.90.
    """
    known = ~np.isnan(labels)
    probabilities, positive = probabilities[known], labels[known] == 1
    if positive.all() or not positive.any():
        return {}
    candidates = _candidates(probabilities)
    sensitivity = 1 - _share_below(probabilities[positive], candidates)
    specificity = _share_below(probabilities[~positive], candidates)
    thresholds = {
        BALANCED: best_threshold(probabilities, positive.astype(float)),
        SENSITIVE: float(candidates[sensitivity >= TARGET].max(initial=candidates[0])),
        SPECIFIC: float(candidates[specificity >= TARGET].min(initial=candidates[-1])),
    }
    return {name: measured_point(threshold, probabilities, positive, dataset) for name, threshold in thresholds.items()}


def measured_point(threshold: float, probabilities: Array, positive: NDArray[np.bool_], dataset: str) -> OperatingPoint:
    """A threshold with its figures on radiographs of both classes, [N] each; predictive values hold at their mix."""
    found = decisions(probabilities, positive.astype(float), threshold)
    called = probabilities >= threshold
    return OperatingPoint(
        threshold=float(np.clip(threshold, _EXTREME, 1 - _EXTREME)),
        sensitivity=found.sensitivity,
        specificity=found.specificity,
        ppv=float(positive[called].mean()) if called.any() else None,
        npv=float((~positive[~called]).mean()) if not called.all() else None,
        prevalence=float(positive.mean()),
        positives=int(positive.sum()),
        negatives=int((~positive).sum()),
        dataset=dataset,
    )


@dataclass(frozen=True)
class PositiveCounts:
    """Mean numbers of positive findings per radiograph, decided as in the service.

    ``all`` counts every positive finding, *No Finding* too where it is consistent. ``normal`` counts, on radiographs
    labelled No Finding, the other findings, which are false there; NaN without such radiographs.
    """

    dataset: str
    films: int
    all: float
    normal_films: int
    normal: float

    @property
    def acceptable(self) -> bool:
        """Whether the counts allow the operating point as default."""
        normal = 0.0 if np.isnan(self.normal) else self.normal
        return self.all <= MOST_POSITIVES and normal <= MOST_POSITIVES_ON_NORMAL


def count_positives(
    records: Sequence[FindingRecord], operating_point: str, probabilities: Array, labels: Array, dataset: str
) -> PositiveCounts:
    """Count positive findings, [N, 14] probabilities and labels, at one operating point of validated findings."""
    called = decide(records, operating_point, probabilities)
    no_finding = FINDING_NAMES.index(NO_FINDING)
    normal = called[labels[:, no_finding] == 1]
    others = np.delete(normal, no_finding, axis=1)
    return PositiveCounts(
        dataset=dataset,
        films=len(called),
        all=float(called.sum(axis=1).mean()),
        normal_films=len(normal),
        normal=float(others.sum(axis=1).mean()) if len(others) else float("nan"),
    )


def decide(records: Sequence[FindingRecord], operating_point: str, probabilities: Array) -> NDArray[np.bool_]:
    """The service's decisions: probabilities [N, 14] → positive [N, 14]; only validated findings can be positive."""
    called = np.zeros(probabilities.shape, dtype=bool)
    for column, record in enumerate(records):
        point = record.operating_points.get(operating_point)
        if record.status == "validated" and point is not None:
            called[:, column] = probabilities[:, column] >= point.threshold
    contradictions = [FINDING_NAMES.index(name) for name in contradicting(FINDING_NAMES)]
    called[:, FINDING_NAMES.index(NO_FINDING)] &= ~called[:, contradictions].any(axis=1)
    return called


def choose_default(
    records: Sequence[FindingRecord], probabilities: Array, labels: Array, dataset: str
) -> tuple[str, dict[str, PositiveCounts]]:
    """The default operating point: the first of balanced and specific with acceptable counts, else specific.

    Returns it with the counts of the points that were tried, by name.
    """
    tried: dict[str, PositiveCounts] = {}
    for name in (BALANCED, SPECIFIC):
        tried[name] = count_positives(records, name, probabilities, labels, dataset)
        if tried[name].acceptable:
            return name, tried
    return SPECIFIC, tried


def _candidates(probabilities: Array) -> Array:
    """Thresholds that separate the radiographs in every possible way, ascending: halfway between neighbours."""
    ordered = np.unique(probabilities)
    edges = np.concatenate(([0.0], ordered, [1.0]))
    return np.clip((edges[:-1] + edges[1:]) / 2, _EXTREME, 1 - _EXTREME)


def _share_below(values: Array, thresholds: Array) -> Array:
    return np.searchsorted(np.sort(values), thresholds, side="left") / len(values)
