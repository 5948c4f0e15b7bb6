"""Differences of two models on the same radiographs: counts and sums only, no image, no identifier."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import get_args

from app.service.results import Score
from app.telemetry import DIFFERENCES, Agreement, ShadowMetrics


@dataclass
class FindingDifferences:
    """Differences of one finding on ``radiographs``. A difference is that of the probabilities, shadow minus served.

    ``within`` counts the absolute differences between each bound of ``DIFFERENCES`` and the one before.
    """

    radiographs: int = 0
    sum: float = 0.0
    sum_absolute: float = 0.0
    largest: float = 0.0
    within: list[int] = field(default_factory=lambda: [0] * len(DIFFERENCES))
    decisions: dict[Agreement, int] = field(default_factory=lambda: dict.fromkeys(get_args(Agreement), 0))

    def add(self, difference: float, agreement: Agreement) -> None:
        """Count one radiograph."""
        self.radiographs += 1
        self.sum += difference
        self.sum_absolute += abs(difference)
        self.largest = max(self.largest, abs(difference))
        self.within[bisect_left(DIFFERENCES, abs(difference))] += 1
        self.decisions[agreement] += 1

    @property
    def up_to(self) -> dict[float, int]:
        """Number of radiographs with an absolute difference up to each bound of ``DIFFERENCES``."""
        return dict(zip(DIFFERENCES, accumulate(self.within), strict=True))


class Comparison:
    """The differences of two models since the start, by finding; each is also recorded as a metric."""

    def __init__(self, metrics: ShadowMetrics) -> None:
        self._metrics = metrics
        self.findings: dict[str, FindingDifferences] = {}

    def add(self, served: Sequence[Score], shadow: Sequence[Score]) -> None:
        """Compare the decisions about one radiograph; findings that a model was not trained on are left out."""
        for one, other in zip(served, shadow, strict=True):
            if one.probability is None or other.probability is None:
                continue
            difference, agreement = other.probability - one.probability, agreement_of(one, other)
            self.findings.setdefault(one.name, FindingDifferences()).add(difference, agreement)
            self._metrics.difference.labels(one.name).observe(abs(difference))
            self._metrics.decisions.labels(one.name, agreement).inc()


def agreement_of(served: Score, shadow: Score) -> Agreement:
    """How two decisions about a finding relate."""
    if served.positive is None or shadow.positive is None:
        return "undecided"
    if served.positive:
        return "both_positive" if shadow.positive else "only_served"
    return "only_shadow" if shadow.positive else "both_negative"
