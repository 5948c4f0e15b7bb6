"""Request and response of ``POST /whatif``."""

from collections.abc import Iterable
from typing import Annotated, Literal, Self

import torch
from pydantic import Field, StrictInt, model_validator
from torch import Tensor

from app.api.schemas.common import Cell, FindingBody, Grid, ModelFacts
from app.api.schemas.predict import FindingGrid
from app.errors import InvalidQuery
from app.patchnet.findings import FINDING_NAMES, finding_index
from app.patchnet.manifest import FindingStatus
from app.service.results import Score
from app.service.whatif import WhatIf
from app.validation import StrictModel


class WhatIfRequest(StrictModel):
    """Request of ``POST /whatif``: a recent result or grids, the patches to remove, and the removal rule."""

    request_id: str | None = Field(None, description="Request id of a recent /predict or /explain of this process.")
    grids: list[FindingGrid] | None = Field(
        None, description="Grids as in the response of /predict?grids=true, of any findings."
    )
    model: str | None = Field(None, description="With grids: the served model whose operating points apply.")
    operating_point: str | None = Field(None, description="Operating point (default: that of the result or the model).")
    remove: list[Annotated[list[StrictInt], Field(min_length=2, max_length=2)]] = Field(
        description="Patches as [row, column]; can be empty."
    )
    rule: Literal["drop", "neutral"] = Field(
        "drop", description="drop: mean of the remaining patches. neutral: removed patches count as logit 0."
    )

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.request_id is None) == (self.grids is None):
            raise ValueError("send either request_id or grids")
        return self

    @property
    def cells(self) -> list[Cell]:
        """The patches to remove, as (row, column)."""
        return [(row, column) for row, column in self.remove]

    @property
    def findings(self) -> list[int]:
        """Columns of the findings in the response, in label order: those with a grid in the request, or all."""
        if self.grids is None:
            return list(range(len(FINDING_NAMES)))
        return sorted(finding_index(grid.finding) for grid in self.grids if grid.patch_logits is not None)

    def patch_logits(self, side: int) -> Tensor:
        """The grids as patch logits [P², C] float64; columns of findings without a grid are 0.

        Raises UnknownFinding, and InvalidQuery if a grid is not ``side`` × ``side`` finite numbers.
        """
        columns = torch.zeros(len(FINDING_NAMES), side * side, dtype=torch.float64)
        for grid in self.grids or []:
            if grid.patch_logits is not None:
                columns[finding_index(grid.finding)] = _flatten(grid.patch_logits, side, grid.finding)
        return columns.T


def _flatten(grid: Grid, side: int, name: str) -> Tensor:
    if len(grid) != side or any(len(row) != side for row in grid):
        raise InvalidQuery(f"the grid of '{name}' must have {side} rows of {side} patch logits")
    flat = torch.tensor(grid, dtype=torch.float64).flatten()
    if not bool(torch.isfinite(flat).all()):
        raise InvalidQuery(f"the grid of '{name}' has values that are not finite")
    return flat


class WhatIfFinding(StrictModel):
    """One finding with all patches and without the removed ones."""

    name: str
    status: FindingStatus
    before: FindingBody
    after: FindingBody


class WhatIfBody(StrictModel):
    """Response of ``POST /whatif``: exact, from the patch logits alone."""

    request_id: str
    model: ModelFacts
    rule: Literal["drop", "neutral"]
    removed: list[Cell]
    findings: list[WhatIfFinding]

    @classmethod
    def of(cls, request_id: str, answer: WhatIf, findings: Iterable[int]) -> Self:
        """From a result of the use case, for the given columns."""
        return cls(
            request_id=request_id,
            model=ModelFacts.of(answer.model),
            rule=answer.rule,
            removed=list(answer.removed),
            findings=[_finding(answer.before[index], answer.after[index]) for index in findings],
        )


def _finding(before: Score, after: Score) -> WhatIfFinding:
    return WhatIfFinding(
        name=before.name, status=before.status, before=FindingBody.of(before), after=FindingBody.of(after)
    )
