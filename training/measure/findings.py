"""Status, operating points and quality of every finding, and the default operating point, from predictions."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from app.patchnet.findings import FINDING_NAMES
from app.patchnet.manifest import FindingRecord, FindingStatus, OperatingPoint, Quality
from training.measure.evaluation import Evaluation
from training.measure.inference import Predicted
from training.measure.metrics import decisions
from training.measure.operating_points import PositiveCounts, choose_default, count_positives, operating_points
from training.measure.status import enough, status_of


@dataclass(frozen=True)
class Decided:
    """The findings of a manifest with the default operating point.

    ``valid`` has the positive counts on validation radiographs of the operating points that were tried as default, by
    name; ``test`` those of the default on held-out radiographs.
    """

    records: tuple[FindingRecord, ...]
    default: str
    valid: Mapping[str, PositiveCounts]
    test: tuple[PositiveCounts, ...] = ()

    @property
    def metrics(self) -> dict[str, float]:
        """The counts at the default operating point, for the manifest."""
        counts = {"valid": self.valid[self.default], **({"test": self.test[0]} if self.test else {})}
        figures = {f"{split}.positives_per_radiograph": found.all for split, found in counts.items()}
        figures |= {f"{split}.positives_per_normal_radiograph": found.normal for split, found in counts.items()}
        return {name: value for name, value in figures.items() if not np.isnan(value)}


def decide_findings(
    valid: Sequence[Predicted],
    test: Sequence[Predicted],
    qualities: Mapping[str, Quality],
    untouched: Mapping[str, FindingStatus],
    derived: Collection[str],
) -> Decided:
    """Operating points from ``valid``, statuses from ``qualities``, the default operating point from ``valid[0]``.

    Of several sets, a finding uses the first with enough radiographs of both classes. ``valid[0]`` and ``test[0]`` must
    have natural prevalence, because positive counts are measured on them. ``untouched`` findings keep their status.
    """
    records = tuple(
        _record(name, valid, qualities.get(name), untouched.get(name), derived=name in derived)
        for name in FINDING_NAMES
    )
    first = valid[0]
    default, counts = choose_default(records, first.probabilities, first.labels, first.dataset)
    return Decided(
        tuple(_with_decisions(record, default, test) for record in records),
        default,
        counts,
        tuple(count_positives(records, default, part.probabilities, part.labels, part.dataset) for part in test),
    )


def held_out_qualities(
    evaluations: Sequence[Evaluation], earlier: Mapping[str, Quality] | None = None
) -> dict[str, Quality]:
    """The quality of each finding on the first set with enough radiographs, else on the first with both classes.

    ``earlier`` qualities, by finding, count as those of a last set.
    """
    found: dict[str, Quality] = {}
    for name in FINDING_NAMES:
        measured = [figures.findings[name] for figures in evaluations if name in figures.findings]
        measured += [earlier[name]] if earlier and name in earlier else []
        usable = [quality for quality in measured if enough(quality.positives, quality.negatives)]
        if measured:
            found[name] = (usable or measured)[0]
    return found


def _record(
    name: str, valid: Sequence[Predicted], quality: Quality | None, status: FindingStatus | None, *, derived: bool
) -> FindingRecord:
    if status == "untrained":
        return FindingRecord(name=name, status=status)
    points = _points(name, valid)
    return FindingRecord(
        name=name,
        status=status if status is not None and quality is None else status_of(quality, derived=derived),
        operating_points=points,
        quality=quality,
    )


def _points(name: str, valid: Sequence[Predicted]) -> dict[str, OperatingPoint]:
    column = FINDING_NAMES.index(name)
    measured = [operating_points(part.probabilities[:, column], part.labels[:, column], part.dataset) for part in valid]
    measured = [points for points in measured if points]
    usable = [points for points in measured if all(_enough_for(point) for point in points.values())]
    return (usable or measured or [{}])[0]


def _enough_for(point: OperatingPoint) -> bool:
    return enough(point.positives or 0, point.negatives or 0)


def _with_decisions(record: FindingRecord, default: str, test: Sequence[Predicted]) -> FindingRecord:
    """The record with sensitivity and specificity of the default operating point on the held-out radiographs."""
    point, quality = record.operating_points.get(default), record.quality
    if quality is None:
        return record
    figures: dict[str, float | None] = {"sensitivity": None, "specificity": None}
    part = next((part for part in test if part.dataset == quality.dataset), None)
    if part is None and point is None:
        return record
    if part is not None and point is not None:
        column = FINDING_NAMES.index(record.name)
        found = decisions(part.probabilities[:, column], part.labels[:, column], point.threshold)
        figures = {"sensitivity": found.sensitivity, "specificity": found.specificity}
    return record.model_copy(update={"quality": quality.model_copy(update=figures)})


def with_qualities(evaluation: Evaluation, records: Sequence[FindingRecord]) -> Evaluation:
    """An evaluation with the qualities of records that were measured on it."""
    measured = {
        record.name: record.quality
        for record in records
        if record.quality is not None and record.quality.dataset == evaluation.dataset
    }
    return replace(evaluation, findings=evaluation.findings | measured)
