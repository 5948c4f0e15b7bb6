"""Parts of several bodies. The order is always row, column."""

from typing import Literal, Self

from pydantic import StrictFloat

from app.patchnet.manifest import FindingStatus
from app.service.models import ServedModel
from app.service.results import Prediction, Score
from app.telemetry import Stopwatch
from app.validation import StrictModel

Grid = list[list[StrictFloat]]
Cell = tuple[int, int]


class ModelFacts(StrictModel):
    """The model that made the result."""

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


class Crop(StrictModel):
    """The square that the model analysed, in pixels of the source."""

    row: int
    column: int
    size: int


class ImageBody(StrictModel):
    """The image that was sent. DICOM attributes are null for other formats."""

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


class WarningBody(StrictModel):
    """A warning about the result."""

    code: str
    detail: str


class Timing(StrictModel):
    """Duration of each stage in milliseconds. ``total`` runs from the start of the request to its response."""

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


class FindingBody(StrictModel):
    """The decision about one finding. All values are null for an untrained finding."""

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
