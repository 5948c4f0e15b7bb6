"""Body of the comparison with the shadow model."""

from datetime import datetime
from typing import Self

from pydantic import Field

from app.api.schemas.common import ModelFacts
from app.shadow.comparison import FindingDifferences
from app.shadow.shadow import Shadow
from app.telemetry import Agreement
from app.validation import StrictModel


class ShadowCounts(StrictModel):
    """Number of radiographs by outcome. ``dropped``: the queue was full; ``failed``: the shadow model failed."""

    compared: int
    dropped: int
    failed: int
    waiting: int


class ShadowFinding(StrictModel):
    """Differences of one finding. A difference is that of the probabilities, shadow minus served."""

    name: str
    radiographs: int
    mean_difference: float
    mean_absolute_difference: float
    largest_absolute_difference: float
    up_to: dict[str, int] = Field(description="Radiographs with an absolute difference up to each bound.")
    decisions: dict[Agreement, int] = Field(
        description="Radiographs by both decisions; `undecided`: a model gives no decision about this finding."
    )

    @classmethod
    def of(cls, name: str, found: FindingDifferences) -> Self:
        """From the differences of a finding."""
        return cls(
            name=name,
            radiographs=found.radiographs,
            mean_difference=found.sum / found.radiographs,
            mean_absolute_difference=found.sum_absolute / found.radiographs,
            largest_absolute_difference=found.largest,
            up_to={str(bound): count for bound, count in found.up_to.items()},
            decisions=found.decisions,
        )


class ShadowBody(StrictModel):
    """Answer of ``GET /shadow``: counts and sums only, no radiograph and no identifier."""

    served: ModelFacts
    shadow: ModelFacts
    since: datetime = Field(description="Start of the process, from which all numbers are counted.")
    radiographs: ShadowCounts
    findings: list[ShadowFinding] = Field(description="In label order, without those that a model was not trained on.")

    @classmethod
    def of(cls, shadow: Shadow) -> Self:
        """The comparison now."""
        return cls(
            served=ModelFacts.of(shadow.served),
            shadow=ModelFacts.of(shadow.model),
            since=shadow.since,
            radiographs=ShadowCounts(**shadow.radiographs, waiting=shadow.waiting),
            findings=[ShadowFinding.of(name, found) for name, found in shadow.comparison.findings.items()],
        )
