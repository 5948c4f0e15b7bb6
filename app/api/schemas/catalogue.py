"""What the service says of itself: findings, models, readiness."""

from typing import Self

from pydantic import Field

from app.api.schemas.common import Body, ModelFacts
from app.patchnet.findings import FINDINGS
from app.patchnet.manifest import FindingStatus, Manifest, OperatingPoint, Quality
from app.service.models import ServedModel
from app.service.services import Services, Status


class CodeBody(Body):
    """A coded concept, as in a DICOM code sequence."""

    value: str
    scheme: str
    meaning: str


class FindingFacts(Body):
    """What is known about one finding of the served model."""

    name: str
    aliases: list[str]
    code: CodeBody
    status: FindingStatus
    threshold: float | None
    operating_points: dict[str, OperatingPoint]
    quality: Quality | None


class FindingsBody(Body):
    """Answer of ``GET /findings``."""

    model: ModelFacts
    findings: list[FindingFacts]

    @classmethod
    def of(cls, model: ServedModel) -> Self:
        """From a served model."""
        facts = [
            FindingFacts(
                name=finding.name,
                aliases=list(finding.aliases),
                code=CodeBody(**vars(finding.code)),
                status=record.status,
                threshold=model.manifest.thresholds.get(finding.name),
                operating_points=record.operating_points,
                quality=record.quality,
            )
            for finding, record in zip(FINDINGS, model.manifest.findings, strict=True)
        ]
        return cls(model=ModelFacts.of(model), findings=facts)


class ModelBody(Body):
    """Answer of ``GET /model``: the manifest as it is, the model card, and what else is served."""

    model: ModelFacts
    manifest: Manifest
    card: str = Field(description="The model card, Markdown.")
    served: list[str] = Field(description="Names that ?model= accepts, the default first.")

    @classmethod
    def of(cls, model: ServedModel, served: list[ServedModel]) -> Self:
        """From a served model and all of them."""
        names = [other.manifest.name for other in served]
        return cls(model=ModelFacts.of(model), manifest=model.manifest, card=model.card, served=names)


class HealthBody(Body):
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
