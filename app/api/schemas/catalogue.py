"""Bodies about the service: findings, models, readiness."""

from typing import Self

from pydantic import Field

from app.api.schemas.common import ModelFacts
from app.patchnet.findings import FINDINGS, Finding
from app.patchnet.manifest import FindingRecord, FindingStatus, Manifest, OperatingPoint, Quality
from app.service.models import ServedModel
from app.service.operating_points import OperatingPoints, Origin
from app.service.services import Services, Status
from app.validation import StrictModel


class CodeBody(StrictModel):
    """A coded concept, as in a DICOM code sequence."""

    value: str
    scheme: str
    meaning: str


class FindingFacts(StrictModel):
    """One finding of a served model."""

    name: str
    aliases: list[str]
    code: CodeBody
    status: FindingStatus
    threshold: float | None = Field(description="Threshold at the operating point in force.")
    operating_point: str | None = Field(description="Name of the operating point in force.")
    operating_point_from: Origin | None = Field(
        description="Who chose it: the manifest, MEDPATCHNET_OPERATING_POINT or MEDPATCHNET_OPERATING_POINTS_FILE."
    )
    decides: bool = Field(description="Whether `positive` is given: for validated findings and those of the site file.")
    operating_points: dict[str, OperatingPoint] = Field(description="All operating points, with their measurements.")
    quality: Quality | None

    @classmethod
    def of(cls, finding: Finding, record: FindingRecord, points: OperatingPoints) -> Self:
        """From a finding, its record in the manifest, and the operating points of the model."""
        in_force = points.in_force.get(finding.name)
        return cls(
            name=finding.name,
            aliases=list(finding.aliases),
            code=CodeBody(**vars(finding.code)),
            status=record.status,
            threshold=None if in_force is None else in_force.threshold,
            operating_point=None if in_force is None else in_force.name,
            operating_point_from=None if in_force is None else in_force.origin,
            decides=in_force is not None and in_force.decides,
            operating_points=dict(points.available[finding.name]),
            quality=record.quality,
        )


class FindingsBody(StrictModel):
    """Answer of ``GET /findings``."""

    model: ModelFacts
    findings: list[FindingFacts]

    @classmethod
    def of(cls, model: ServedModel) -> Self:
        """From a served model."""
        facts = [
            FindingFacts.of(finding, record, model.points)
            for finding, record in zip(FINDINGS, model.manifest.findings, strict=True)
        ]
        return cls(model=ModelFacts.of(model), findings=facts)


class ModelBody(StrictModel):
    """Answer of ``GET /model``: the manifest, the model card, and the names of all served models."""

    model: ModelFacts
    manifest: Manifest
    card: str = Field(description="The model card, in Markdown.")
    served: list[str] = Field(description="Names for ?model=, the default first.")

    @classmethod
    def of(cls, model: ServedModel, served: list[ServedModel]) -> Self:
        """From a served model and all of them."""
        names = [other.manifest.name for other in served]
        return cls(model=ModelFacts.of(model), manifest=model.manifest, card=model.card, served=names)


class HealthBody(StrictModel):
    """Answer of ``GET /readyz`` and ``GET /health``."""

    status: Status
    models: list[ModelFacts]
    queue_depth: int
    decode_workers: int

    @classmethod
    def of(cls, services: Services) -> Self:
        """The state of the service now."""
        return cls(
            status=services.status,
            models=[ModelFacts.of(model) for model in services.models.all],
            queue_depth=sum(model.scheduler.queue_depth for model in services.models.all),
            decode_workers=services.decoder.live_workers,
        )
