"""The content of the objects for the PACS, independent of its DICOM encoding."""

from dataclasses import dataclass, field
from typing import Literal

from pydicom.dataset import Dataset

from app.patchnet.findings import Code
from app.rendering.overlay import SaliencyLayer

ReportKind = Literal["sr", "sc", "gsps"]
"""Structured report, secondary captures, presentation state."""

NOTICE = "Research use only; not a medical device. Not verified by a physician."


@dataclass(frozen=True)
class Patch:
    """A square of the radiograph: corner and side in its pixels, evidence in logits."""

    row: float
    column: float
    size: float
    logit: float

    def corners(self, rows: int, columns: int) -> list[tuple[float, float]]:
        """The closed outline as (column, row), clipped to a radiograph of that size. Source: PS3.3 C.18.6.1.1."""
        left, top = max(0.0, self.column), max(0.0, self.row)
        right, bottom = min(float(columns), self.column + self.size), min(float(rows), self.row + self.size)
        return [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]


@dataclass(frozen=True)
class ReportedFinding:
    """One finding of the report. ``positive`` is None where no threshold is configured.

    ``patches`` hold the strongest evidence for a positive finding, strongest first; ``layer`` holds the whole patch
    grid.
    """

    name: str
    code: Code
    probability: float
    threshold: float | None
    positive: bool | None
    layer: SaliencyLayer
    patches: tuple[Patch, ...] = ()


@dataclass(frozen=True)
class Algorithm:
    """The model and the service that made the report: name, version and weights hash; version of the service."""

    name: str
    version: str
    weights_sha256: str
    software_version: str


@dataclass(frozen=True)
class Report:
    """The result for one radiograph.

    ``source`` is its data set without pixels. ``unscored`` names the findings that the model cannot judge. ``limit`` is
    the logit of the strongest colour of an overlay.
    """

    source: Dataset
    algorithm: Algorithm
    findings: tuple[ReportedFinding, ...]
    unscored: tuple[str, ...]
    warnings: tuple[str, ...]
    limit: float
    positives: tuple[ReportedFinding, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "positives", tuple(finding for finding in self.findings if finding.positive))
