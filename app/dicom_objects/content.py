"""The content of the objects for the PACS, independent of its DICOM encoding."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from pydicom.dataset import Dataset
from pydicom.uid import UID

from app.anatomy.zones import ZoneName
from app.dicom_objects.attributes import first_text
from app.dicom_objects.uids import derived_uid
from app.patchnet.findings import Code
from app.patchnet.manifest import FindingStatus
from app.rendering.overlay import SaliencyLayer
from app.rendering.wording import NO_FINDING, listed

ReportKind = Literal["sr", "sc", "gsps", "seg"]
"""Structured report, secondary captures, presentation state, segmentation."""

_MIDDLE_BAND = 0.1  # of the side: a centre this near to the middle line belongs to no half


@dataclass(frozen=True)
class Patch:
    """A rectangle of the stored image: corner, height and width in its pixels; evidence in logits."""

    row: float
    column: float
    height: float
    width: float
    logit: float

    def corners(self, rows: int, columns: int) -> list[tuple[float, float]]:
        """The closed outline as (column, row), clipped to an image of that size. Source: PS3.3 C.18.6.1.1."""
        left, top = max(0.0, self.column), max(0.0, self.row)
        right, bottom = min(float(columns), self.column + self.width), min(float(rows), self.row + self.height)
        return [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]

    def place(self, rows: int, columns: int) -> str:
        """The part of an image of that size where the centre lies, such as ``the upper left quarter``."""
        down = (self.row + self.height / 2) / rows - 0.5
        right = (self.column + self.width / 2) / columns - 0.5
        vertical = "" if abs(down) < _MIDDLE_BAND / 2 else "upper" if down < 0 else "lower"
        horizontal = "" if abs(right) < _MIDDLE_BAND / 2 else "left" if right < 0 else "right"
        if vertical and horizontal:
            return f"the {vertical} {horizontal} quarter"
        return f"the {vertical or horizontal} half" if vertical or horizontal else "the centre"


@dataclass(frozen=True)
class EvidenceSite:
    """Where in the chest the positive evidence for a finding lies; shares are from 0 to 1.

    ``zone`` is the one of lungs, heart and mediastinum with the most of it, None where they have none, and ``share`` is
    its share; ``outside`` is the share outside all of them. ``suspicious``: the latter is unusually large.
    """

    zone: ZoneName | None
    share: float
    outside: float
    suspicious: bool


@dataclass(frozen=True)
class ReportedFinding:
    """One finding of the report, see ``app.service.results.Score``; an untrained one has no probability and no layer.

    ``patches`` hold the strongest evidence for a positive finding, strongest first; ``layer`` holds the whole patch
    grid. ``site`` is stated for positive findings if zones are requested and can be trusted.
    """

    name: str
    code: Code
    status: FindingStatus
    probability: float | None
    threshold: float | None = None
    positive: bool | None = None
    operating_point: str | None = None
    contradicted_by: tuple[str, ...] = ()
    layer: SaliencyLayer | None = None
    patches: tuple[Patch, ...] = ()
    site: EvidenceSite | None = None

    @property
    def rank(self) -> float:
        """The probability relative to the threshold; larger is stronger."""
        return (self.probability or 0.0) / (self.threshold or 1.0)


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

    ``source`` is its data set without pixels, ``rows`` × ``columns`` the size of its stored image. ``limit`` is the
    logit of the strongest colour of an overlay. ``segmenter`` found the zones, None unless they are requested.
    ``positives`` are the positive findings but *No Finding*, strongest first.
    """

    source: Dataset
    rows: int
    columns: int
    algorithm: Algorithm
    findings: tuple[ReportedFinding, ...]
    warnings: tuple[str, ...]
    limit: float
    analysed_at: datetime
    segmenter: Algorithm | None = None
    positives: tuple[ReportedFinding, ...] = field(init=False)

    def __post_init__(self) -> None:
        positives = [finding for finding in self.findings if finding.positive and finding.name != NO_FINDING]
        object.__setattr__(self, "positives", tuple(sorted(positives, key=lambda finding: -finding.rank)))

    def uid(self, *parts: str) -> UID:
        """A UID for a part of this report: the same for the same instance, weights and thresholds."""
        thresholds = (f"{item.name} {item.threshold!r}" for item in self.findings if item.threshold is not None)
        sop_instance_uid = first_text(self.source, "SOPInstanceUID")
        return derived_uid(sop_instance_uid, self.algorithm.weights_sha256, *parts, ", ".join(thresholds))

    def whereabouts(self, finding: ReportedFinding) -> str:
        """Where the evidence for a finding lies, in words for the radiograph as it is displayed; empty without any."""
        places = list(dict.fromkeys(patch.place(self.rows, self.columns) for patch in finding.patches))
        return f"strongest evidence in {listed(places)} of the radiograph as displayed" if places else ""
