"""The answer of ``POST /explain``."""

from collections.abc import Sequence
from typing import Literal, Self

from torch.nn.functional import avg_pool2d

from app.api.schemas.common import Cell, FindingBody, Grid, ImageBody, ModelFacts, Timing, WarningBody, warnings
from app.api.schemas.zones import ZonesBody
from app.patchnet.manifest import FindingStatus
from app.service.results import DecisivePatches, Explanation, Explanations, Prediction
from app.telemetry import Stopwatch
from app.validation import StrictModel


class GridBody(StrictModel):
    """The plain grid, raw or scaled as requested: nested lists, rows from top to bottom."""

    rows: int
    columns: int
    patch_logits: Grid


class MapBody(StrictModel):
    """A shift-averaged map over the crop: ``values`` in logits, each cell ``cell_size`` model pixels wide."""

    rows: int
    columns: int
    cell_size: int
    border: Literal["coverage", "zero"]
    values: Grid


class GridGeometry(StrictModel):
    """Box of the whole grid in source pixels, and the side of one patch there."""

    row: float
    column: float
    height: float
    width: float
    patch_size: float

    @classmethod
    def of(cls, prediction: Prediction) -> Self:
        """Of the grids of a prediction."""
        geometry = prediction.geometry
        return cls(
            row=geometry.row,
            column=geometry.column,
            height=geometry.size,
            width=geometry.size,
            patch_size=prediction.model.manifest.patch_size * geometry.scale,
        )


class Additivity(StrictModel):
    """The logit is the mean of the raw grid: both numbers, and their difference."""

    grid_mean: float
    logit: float
    difference: float


class EvidenceBody(StrictModel):
    """Sums of the raw grid, and the share of the positive evidence in the outermost ring of patches.

    ``outer_ring_share`` is null without positive evidence.
    """

    sum_for: float
    sum_against: float
    outer_ring_share: float | None


class DecisiveBody(StrictModel):
    """Smallest sets of patches under one removal rule, strongest patch first.

    ``sufficient``: these patches alone keep the decision. ``flip``: without these patches the decision changes; null if
    no set changes it.
    """

    rule: Literal["drop", "neutral"]
    sufficient: list[Cell]
    flip: list[Cell] | None

    @classmethod
    def of(cls, sets: DecisivePatches, side: int) -> Self:
        """From row-major indices."""
        flip = None if sets.flip is None else _cells(sets.flip, side)
        return cls(rule=sets.rule, sufficient=_cells(sets.sufficient, side), flip=flip)


class ExplanationBody(StrictModel):
    """The evidence for one finding. All values are null for an untrained finding."""

    finding: str
    status: FindingStatus
    probability: float | None
    logit: float | None
    threshold: float | None
    positive: bool | None
    operating_point: str | None
    contradicted_by: list[str]
    map: Literal["raw", "scaled"]
    offset: int
    stride: int | None
    exact: bool
    grid: GridBody | None
    saliency_map: MapBody | None
    geometry: GridGeometry
    additivity: Additivity | None
    evidence: EvidenceBody | None
    decisive_patches: list[DecisiveBody]

    @classmethod
    def of(cls, item: Explanation, explanations: Explanations, cell: int | None) -> Self:
        """From one explanation. ``cell``: side of the cells of the map; None: the default."""
        score = item.score
        manifest = explanations.prediction.model.manifest
        side = manifest.image_size // manifest.patch_size
        return cls(
            **FindingBody.of(score).model_dump(exclude={"name"}),
            finding=score.name,
            map=explanations.map,
            offset=explanations.offset,
            stride=explanations.stride,
            exact=explanations.exact,
            grid=None if item.grid is None else GridBody(rows=side, columns=side, patch_logits=item.grid.tolist()),
            saliency_map=_map(item, explanations, cell),
            geometry=GridGeometry.of(explanations.prediction),
            additivity=_additivity(item),
            evidence=None if item.evidence is None else EvidenceBody(**vars(item.evidence)),
            decisive_patches=[DecisiveBody.of(sets, side) for sets in item.decisive],
        )


class ExplainBody(StrictModel):
    """Answer of ``POST /explain``; ``zones`` is null unless it was requested."""

    request_id: str
    model: ModelFacts
    image: ImageBody
    explanations: list[ExplanationBody]
    zones: ZonesBody | None
    warnings: list[WarningBody]
    timing_ms: Timing

    @classmethod
    def of(cls, request_id: str, explanations: Explanations, watch: Stopwatch, cell: int | None = None) -> Self:
        """From explanations. ``cell`` must divide the model's image size."""
        prediction = explanations.prediction
        return cls(
            request_id=request_id,
            model=ModelFacts.of(prediction.model),
            image=ImageBody.of(prediction),
            explanations=[ExplanationBody.of(item, explanations, cell) for item in explanations.items],
            zones=ZonesBody.of(explanations),
            warnings=warnings(prediction),
            timing_ms=Timing.of(watch),
        )


def _cells(indices: Sequence[int], side: int) -> list[Cell]:
    return [divmod(index, side) for index in indices]


def _additivity(item: Explanation) -> Additivity | None:
    if item.grid_mean is None or item.score.logit is None:
        return None
    return Additivity(grid_mean=item.grid_mean, logit=item.score.logit, difference=item.grid_mean - item.score.logit)


def _map(item: Explanation, explanations: Explanations, cell: int | None) -> MapBody | None:
    if item.saliency_map is None:
        return None
    if cell is None:
        cell = _cell_size(explanations)
        values = item.saliency_map[::cell, ::cell]
    else:
        values = avg_pool2d(item.saliency_map[None], cell)[0]
    return MapBody(
        rows=values.shape[0], columns=values.shape[1], cell_size=cell, border=explanations.border,
        values=values.tolist(),
    )  # fmt: skip


def _cell_size(explanations: Explanations) -> int:
    """Side of the cells on which the map is constant: the offset where it divides the patch, else one pixel."""
    patch_size = explanations.prediction.model.manifest.patch_size
    return explanations.offset if patch_size % explanations.offset == 0 else 1
