"""The answer of ``POST /compare``. Changes are always current minus prior."""

from math import isnan
from typing import Literal, Self

from pydantic import Field, StrictFloat

from app.anatomy.alignment import LungFrame
from app.anatomy.zones import ZONES, ZoneName
from app.api.schemas.common import FindingBody, ImageBody, ModelFacts, Timing, WarningBody, warnings
from app.api.schemas.explain import GridGeometry
from app.api.schemas.zones import SegmenterBody
from app.patchnet.manifest import FindingStatus
from app.patchnet.preprocessing import CropGeometry
from app.service.comparison.results import ComparedZones, Comparison, FindingChange, Pair
from app.service.results import Prediction, Score
from app.telemetry import Stopwatch
from app.validation import StrictModel


class ComparedImage(StrictModel):
    """One of the two radiographs, and the warnings about it."""

    image: ImageBody
    warnings: list[WarningBody]

    @classmethod
    def of(cls, prediction: Prediction) -> Self:
        """From its prediction."""
        return cls(image=ImageBody.of(prediction), warnings=warnings(prediction))


class ComparedScore(StrictModel):
    """The decision about one finding on one radiograph. All values are null for an untrained finding."""

    probability: float | None
    logit: float | None
    positive: bool | None
    contradicted_by: list[str]

    @classmethod
    def of(cls, score: Score) -> Self:
        """From a score."""
        return cls(
            probability=score.probability,
            logit=score.logit,
            positive=score.positive,
            contradicted_by=list(score.contradicted_by),
        )


class ScoreChange(StrictModel):
    """What the values changed by; null for an untrained finding."""

    probability: float | None
    logit: float | None


class ZoneChange(StrictModel):
    """The evidence of one zone on both radiographs, and its change, in logits."""

    zone: ZoneName
    current: float
    prior: float
    change: float


class ZoneChanges(StrictModel):
    """The change of the logit as a sum over zones."""

    sum: float = Field(description="The changes of all zones.")
    difference: float = Field(description="sum - change of the logit: at most 1e-5 either way.")
    zones: list[ZoneChange]

    @classmethod
    def of(cls, evidence: tuple[Pair[float], ...], logit_change: float) -> Self:
        """From the evidence of the zones, in the order of ``ZONES``."""
        zones = [
            ZoneChange(zone=name, current=both.current, prior=both.prior, change=both.current - both.prior)
            for name, both in zip(ZONES, evidence, strict=True)
        ]
        total = sum(zone.change for zone in zones)
        return cls(sum=total, difference=total - logit_change, zones=zones)


class DifferenceMap(StrictModel):
    """Change of the patch logits, rows from top to bottom; null where the prior radiograph does not reach."""

    rows: int
    columns: int
    change: list[list[StrictFloat | None]]


class ComparedFinding(StrictModel):
    """One finding on both radiographs."""

    name: str
    status: FindingStatus
    threshold: float | None
    operating_point: str | None
    current: ComparedScore
    prior: ComparedScore
    change: ScoreChange
    zones: ZoneChanges | None = Field(description="Null where zones are not compared.")
    map: DifferenceMap | None = Field(description="With ?map=true, where zones are compared.")

    @classmethod
    def of(cls, item: FindingChange) -> Self:
        """From a change."""
        current, prior = (FindingBody.of(score) for score in item.scores)
        logit = _change(current.logit, prior.logit)
        return cls(
            name=current.name,
            status=current.status,
            threshold=current.threshold,
            operating_point=current.operating_point,
            current=ComparedScore.of(item.scores.current),
            prior=ComparedScore.of(item.scores.prior),
            change=ScoreChange(probability=_change(current.probability, prior.probability), logit=logit),
            zones=None if item.zones is None or logit is None else ZoneChanges.of(item.zones, logit),
            map=_map(item),
        )


class NoZonesBody(StrictModel):
    """A reason why zones are not compared; ``film`` is null if it is a property of the service."""

    film: Literal["current", "prior"] | None
    code: str
    detail: str


class LungFrameBody(StrictModel):
    """The bounding box of both lungs in pixels of the source."""

    row: float
    column: float
    height: float
    width: float

    @classmethod
    def of(cls, frame: LungFrame, geometry: CropGeometry) -> Self:
        """From a frame in fractions of the analysed square."""
        size = geometry.image_size
        row, column = geometry.to_source(frame.top * size, frame.left * size)
        end_row, end_column = geometry.to_source(frame.bottom * size, frame.right * size)
        return cls(row=row, column=column, height=end_row - row, width=end_column - column)


class LungFrames(StrictModel):
    """The frames by which the difference map aligns the radiographs."""

    current: LungFrameBody
    prior: LungFrameBody


class ComparedZonesBody(StrictModel):
    """Whether the evidence of the zones is compared, and if not, why."""

    compared: bool
    reasons: list[NoZonesBody]
    segmenter: SegmenterBody | None
    lungs: LungFrames | None

    @classmethod
    def of(cls, zones: ComparedZones, predictions: Pair[Prediction]) -> Self:
        """From compared zones."""
        return cls(
            compared=zones.aligned is not None,
            reasons=[NoZonesBody(**vars(reason)) for reason in zones.reasons],
            segmenter=None if zones.segmenter is None else SegmenterBody.of(zones.segmenter),
            lungs=None
            if zones.aligned is None
            else LungFrames(
                current=LungFrameBody.of(zones.aligned.lungs.current, predictions.current.geometry),
                prior=LungFrameBody.of(zones.aligned.lungs.prior, predictions.prior.geometry),
            ),
        )


class CompareBody(StrictModel):
    """Answer of ``POST /compare``. ``geometry`` is that of the difference maps, in the current radiograph."""

    request_id: str
    model: ModelFacts
    current: ComparedImage
    prior: ComparedImage
    findings: list[ComparedFinding]
    zones: ComparedZonesBody
    geometry: GridGeometry
    warnings: list[WarningBody] = Field(description="About the pair; those about one radiograph are beside its facts.")
    timing_ms: Timing

    @classmethod
    def of(cls, request_id: str, comparison: Comparison, watch: Stopwatch) -> Self:
        """From a comparison."""
        current, prior = comparison.predictions
        return cls(
            request_id=request_id,
            model=ModelFacts.of(current.model),
            current=ComparedImage.of(current),
            prior=ComparedImage.of(prior),
            findings=[ComparedFinding.of(item) for item in comparison.findings],
            zones=ComparedZonesBody.of(comparison.zones, comparison.predictions),
            geometry=GridGeometry.of(current),
            warnings=[WarningBody(code=warning.code, detail=warning.detail) for warning in comparison.warnings],
            timing_ms=Timing.of(watch),
        )


def _change(current: float | None, prior: float | None) -> float | None:
    return None if current is None or prior is None else current - prior


def _map(item: FindingChange) -> DifferenceMap | None:
    if item.difference_map is None:
        return None
    values: list[list[float]] = item.difference_map.tolist()
    cells = [[None if isnan(value) else value for value in row] for row in values]
    return DifferenceMap(rows=len(cells), columns=len(cells[0]), change=cells)
