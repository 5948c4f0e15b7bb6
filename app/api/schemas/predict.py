"""The answer of ``POST /predict``."""

from typing import Self

from pydantic import Field

from app.api.schemas.common import FindingBody, Grid, ImageBody, ModelFacts, Timing, WarningBody, warnings
from app.patchnet.saliency import patch_grid
from app.service.results import Prediction
from app.telemetry import Stopwatch
from app.validation import StrictModel


class FindingGrid(StrictModel):
    """Patch logits of one finding: rows of the P × P grid from top to bottom. Null for an untrained finding."""

    finding: str
    patch_logits: Grid | None


class PredictBody(StrictModel):
    """Answer of ``POST /predict``."""

    request_id: str
    model: ModelFacts
    image: ImageBody
    findings: list[FindingBody]
    warnings: list[WarningBody]
    timing_ms: Timing
    grids: list[FindingGrid] | None = Field(None, description="With ?grids=true: all patch logits.")

    @classmethod
    def of(cls, request_id: str, prediction: Prediction, watch: Stopwatch, *, with_grids: bool) -> Self:
        """From a prediction."""
        return cls(
            request_id=request_id,
            model=ModelFacts.of(prediction.model),
            image=ImageBody.of(prediction),
            findings=[FindingBody.of(score) for score in prediction.scores],
            warnings=warnings(prediction),
            timing_ms=Timing.of(watch),
            grids=_grids(prediction) if with_grids else None,
        )


def _grids(prediction: Prediction) -> list[FindingGrid]:
    grids: list[Grid] = patch_grid(prediction.patch_logits[None])[0].tolist()
    return [
        FindingGrid(finding=score.name, patch_logits=None if score.logit is None else grid)
        for score, grid in zip(prediction.scores, grids, strict=True)
    ]
