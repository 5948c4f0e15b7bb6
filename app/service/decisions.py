"""Decisions: from logits to probabilities, and from probabilities to findings that do not contradict each other."""

from dataclasses import replace

from torch import Tensor

from app.patchnet.decisions import NO_FINDING, contradicting
from app.patchnet.manifest import FindingRecord
from app.service.models import ServedModel
from app.service.operating_points import PointInForce
from app.service.results import Score


def scores(model: ServedModel, logits: Tensor) -> tuple[Score, ...]:
    """All decisions of a model, in label order, from global logits [C] (float64)."""
    values: list[float] = logits.tolist()
    probabilities: list[float] = logits.sigmoid().tolist()
    return consistent(
        tuple(
            score(record, logit, probability, model.points.in_force.get(record.name))
            for record, logit, probability in zip(model.manifest.findings, values, probabilities, strict=True)
        )
    )


def score(record: FindingRecord, logit: float, probability: float, point: PointInForce | None) -> Score:
    """The decision about one finding, from its logit and probability."""
    if record.status == "untrained":
        return Score(record.name, record.status, None, None, None, None)
    if point is None:
        return Score(record.name, record.status, probability, logit, None, None)
    positive = probability >= point.threshold if point.decides else None
    return Score(record.name, record.status, probability, logit, point.threshold, positive, point.name)


def consistent(found: tuple[Score, ...]) -> tuple[Score, ...]:
    """The decisions with *No Finding* negative if any other finding but Support Devices is positive."""
    positives = contradicting(item.name for item in found if item.positive)
    return tuple(
        replace(item, positive=False, contradicted_by=positives)
        if item.name == NO_FINDING and item.positive and positives
        else item
        for item in found
    )
