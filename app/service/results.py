"""The results of the use cases, independent of HTTP, JSON and pictures."""

from dataclasses import dataclass, replace

from torch import Tensor

from app.imaging.radiograph import ImageWarning, Radiograph
from app.patchnet.evidence import EvidenceSummary, RemovalRule
from app.patchnet.manifest import FindingRecord, FindingStatus
from app.patchnet.preprocessing import CropGeometry
from app.patchnet.saliency import Border, MapKind
from app.service.models import ServedModel

NO_FINDING = "No Finding"
_NO_DISEASE = frozenset({NO_FINDING, "Support Devices"})


@dataclass(frozen=True)
class Score:
    """The decision about one finding. All values are None if the weights were never trained on it."""

    name: str
    status: FindingStatus
    probability: float | None
    logit: float | None
    threshold: float | None
    positive: bool | None
    operating_point: str | None = None
    contradicted_by: tuple[str, ...] = ()


@dataclass(frozen=True)
class Prediction:
    """The result for one image. ``patch_logits`` [P², C] float32 are the evidence, ``scores`` the decisions."""

    model: ServedModel
    radiograph: Radiograph
    geometry: CropGeometry
    patch_logits: Tensor
    scores: tuple[Score, ...]
    warnings: tuple[ImageWarning, ...]


@dataclass(frozen=True)
class DecisivePatches:
    """Smallest sets of patches under one removal rule, as row-major indices.

    ``sufficient``: these patches alone keep the decision. ``flip``: without these patches the decision changes; None if
    no set changes it.
    """

    rule: RemovalRule
    sufficient: tuple[int, ...]
    flip: tuple[int, ...] | None


@dataclass(frozen=True)
class Explanation:
    """The evidence for one finding of one prediction.

    ``grid`` [P, P] holds the raw or scaled patch logits of the plain grid. ``saliency_map`` [S, S], in the same unit,
    is the shift-averaged map if a smaller offset was requested, else None. ``grid_mean`` is the mean of the raw grid,
    which equals ``score.logit``. Everything but the score is None for an untrained finding.
    """

    score: Score
    grid: Tensor | None
    saliency_map: Tensor | None
    grid_mean: float | None
    evidence: EvidenceSummary | None
    decisive: tuple[DecisivePatches, ...]


@dataclass(frozen=True)
class Explanations:
    """The evidence for the requested findings, in the requested order.

    ``stride``: the map of offset 1 is interpolated from every stride-th patch; None if it is not interpolated.
    """

    prediction: Prediction
    map: MapKind
    offset: int
    stride: int | None
    border: Border
    items: tuple[Explanation, ...]

    @property
    def exact(self) -> bool:
        """Whether the map is exactly the decision: only the raw, unshifted grid is."""
        return self.map == "raw" and self.offset == self.prediction.model.manifest.patch_size


def score(record: FindingRecord, logit: float, probability: float, operating_point: str) -> Score:
    """The decision from a logit and its sigmoid, by what the manifest says of the finding."""
    if record.status == "untrained":
        return Score(record.name, record.status, None, None, None, None)
    point = record.operating_points.get(operating_point)
    if point is None:
        return Score(record.name, record.status, probability, logit, None, None)
    positive = probability >= point.threshold if record.status == "validated" else None
    return Score(record.name, record.status, probability, logit, point.threshold, positive, operating_point)


def scores(model: ServedModel, logits: Tensor) -> tuple[Score, ...]:
    """All decisions, in label order, from global logits [C] (float64)."""
    values: list[float] = logits.tolist()
    probabilities: list[float] = logits.sigmoid().tolist()
    name = model.manifest.default_operating_point
    return consistent(
        tuple(
            score(record, logit, probability, name)
            for record, logit, probability in zip(model.manifest.findings, values, probabilities, strict=True)
        )
    )


def consistent(found: tuple[Score, ...]) -> tuple[Score, ...]:
    """The decisions with *No Finding* negative where another finding but Support Devices is positive."""
    positives = tuple(item.name for item in found if item.positive and item.name not in _NO_DISEASE)
    return tuple(
        replace(item, positive=False, contradicted_by=positives)
        if item.name == NO_FINDING and item.positive and positives
        else item
        for item in found
    )
