"""The results of the use cases, independent of HTTP, JSON and pictures."""

from dataclasses import dataclass

from torch import Tensor

from app.imaging.radiograph import ImageWarning, Radiograph
from app.patchnet.evidence import EvidenceSummary, RemovalRule
from app.patchnet.manifest import FindingStatus
from app.patchnet.preprocessing import CropGeometry
from app.patchnet.saliency import Border, MapKind
from app.service.anatomy.ledger import ZoneLedger
from app.service.anatomy.reader import Anatomy
from app.service.models import ServedModel


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
    which equals ``score.logit``. ``zones`` is the sum over zones if they were requested. Everything but the score is
    None for an untrained finding.
    """

    score: Score
    grid: Tensor | None
    saliency_map: Tensor | None
    grid_mean: float | None
    evidence: EvidenceSummary | None
    decisive: tuple[DecisivePatches, ...]
    zones: ZoneLedger | None = None


@dataclass(frozen=True)
class Explanations:
    """The evidence for the requested findings, in the requested order.

    ``stride``: the map of offset 1 is interpolated from every stride-th patch; None if it is not interpolated.
    ``anatomy`` is None unless zones were requested.
    """

    prediction: Prediction
    map: MapKind
    offset: int
    stride: int | None
    border: Border
    items: tuple[Explanation, ...]
    anatomy: Anatomy | None = None

    @property
    def exact(self) -> bool:
        """Whether the map is exactly the decision: only the raw, unshifted grid is."""
        return self.map == "raw" and self.offset == self.prediction.model.manifest.patch_size
