"""Parts that several answers share. Order is always row, column."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, StrictFloat

from app.patchnet.manifest import FindingStatus
from app.service.models import ServedModel
from app.service.results import Prediction, Score
from app.telemetry import Stopwatch

Grid = list[list[StrictFloat]]
Cell = tuple[int, int]


class Body(BaseModel):
    """Base of all bodies: unknown fields of requests are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelFacts(Body):
    """Which network answered."""

    name: str
    version: str
    weights_sha256: str
    device: str
    precision: str
    patch_size: int
    image_size: int

    @classmethod
    def of(cls, model: ServedModel) -> Self:
        """From a served model."""
        manifest = model.manifest
        return cls(
            name=manifest.name,
            version=manifest.version,
            weights_sha256=manifest.weights_sha256,
            device=model.device,
            precision=model.precision,
            patch_size=manifest.patch_size,
            image_size=manifest.image_size,
        )


class Crop(Body):
    """The square of the source that the network saw, in source pixels."""

    row: int
    column: int
    size: int


class ImageBody(Body):
    """What was sent. DICOM attributes are null for other formats."""

    format: Literal["dicom", "png", "jpeg"]
    rows: int
    columns: int
    crop: Crop
    modality: str | None
    body_part: str | None
    view: str | None
    photometric_interpretation: str | None
    study_instance_uid: str | None
    series_instance_uid: str | None
    sop_instance_uid: str | None

    @classmethod
    def of(cls, prediction: Prediction) -> Self:
        """From a prediction."""
        facts, geometry = prediction.radiograph.facts, prediction.geometry
        return cls(
            format=facts.format,
            rows=facts.rows,
            columns=facts.columns,
            crop=Crop(row=geometry.row, column=geometry.column, size=geometry.size),
            modality=facts.modality,
            body_part=facts.body_part,
            view=facts.view,
            photometric_interpretation=facts.photometric_interpretation,
            study_instance_uid=facts.study_instance_uid,
            series_instance_uid=facts.series_instance_uid,
            sop_instance_uid=facts.sop_instance_uid,
        )


class WarningBody(Body):
    """Something a reader of the result should know."""

    code: str
    detail: str


class Timing(Body):
    """Milliseconds by stage. ``total`` is from the first byte read to the answer."""

    decode: float
    preprocess: float
    queue: float
    inference: float
    render: float
    total: float

    @classmethod
    def of(cls, watch: Stopwatch) -> Self:
        """From a stopwatch, now."""
        stages = {stage: round(seconds * 1000, 3) for stage, seconds in watch.seconds.items()}
        return cls(**stages, total=round(watch.total * 1000, 3))


class FindingBody(Body):
    """One decision. Values are null for a finding the weights never saw a label of, so nobody can act on it."""

    name: str
    probability: float | None
    logit: float | None
    threshold: float | None
    positive: bool | None
    status: FindingStatus
    operating_point: str | None
    contradicted_by: list[str]

    @classmethod
    def of(cls, score: Score) -> Self:
        """From a score."""
        return cls(
            name=score.name,
            probability=score.probability,
            logit=score.logit,
            threshold=score.threshold,
            positive=score.positive,
            status=score.status,
            operating_point=score.operating_point,
            contradicted_by=list(score.contradicted_by),
        )


def warnings(prediction: Prediction) -> list[WarningBody]:
    """The warnings of a prediction."""
    return [WarningBody(code=warning.code, detail=warning.detail) for warning in prediction.warnings]
