"""What the objects for the PACS say, free of how DICOM says it."""

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
    """A square of the film: corner and side in pixels of the film, and its evidence in logits."""

    row: float
    column: float
    size: float
    logit: float

    def corners(self, rows: int, columns: int) -> list[tuple[float, float]]:
        """The closed outline as (column, row), within a film of that size. Source: PS3.3 C.18.6.1.1."""
        left, top = max(0.0, self.column), max(0.0, self.row)
        right, bottom = min(float(columns), self.column + self.size), min(float(rows), self.row + self.size)
        return [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]


@dataclass(frozen=True)
class ReportedFinding:
    """One finding of the report. ``positive`` is None where no threshold is configured.

    ``patches`` are the strongest evidence for a positive finding, strongest first; ``layer`` its whole patch grid.
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
    """What made the report: the model's name and version, the hash of its weights, the service's version."""

    name: str
    version: str
    weights_sha256: str
    software_version: str


@dataclass(frozen=True)
class Report:
    """What is told about one image.

    ``source`` is its data set without pixels; ``unscored`` names the findings that the model cannot judge, ``warnings``
    what a reader should know. ``limit`` is the logit of the strongest colour of an overlay.
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
