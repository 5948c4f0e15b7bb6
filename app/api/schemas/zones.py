"""Zones in the answer of ``POST /explain``: the evidence as a sum over parts of the body, and the size of the heart."""

from itertools import groupby
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from app.anatomy.artifact import SegmenterManifest
from app.anatomy.heart_size import HeartSize, Line
from app.anatomy.zones import ZONES, ZoneName
from app.patchnet.preprocessing import CropGeometry
from app.service.anatomy.ledger import ZoneLedger
from app.service.anatomy.reader import Anatomy
from app.service.results import Explanations
from app.validation import StrictModel


class SegmenterBody(StrictModel):
    """The model that found lungs and heart."""

    name: str
    version: str
    weights_sha256: str

    @classmethod
    def of(cls, manifest: SegmenterManifest) -> Self:
        """From its manifest."""
        return cls(name=manifest.name, version=manifest.version, weights_sha256=manifest.weights_sha256)


class DistrustBody(StrictModel):
    """A reason not to trust the zones."""

    code: str
    detail: str


class LineBody(StrictModel):
    """A horizontal line in pixels of the source, from the left of the image to the right."""

    row: float
    start_column: float
    end_column: float

    @classmethod
    def of(cls, line: Line, geometry: CropGeometry) -> Self:
        """From a line in fractions of the analysed square."""
        row, start = geometry.to_source(line.row * geometry.image_size, line.start * geometry.image_size)
        _, end = geometry.to_source(0, line.end * geometry.image_size)
        return cls(row=row, start_column=start, end_column=end)


class HeartSizeBody(StrictModel):
    """The cardiothoracic ratio, measured on the masks; independent of the model's finding Cardiomegaly.

    The width of the heart is the sum of ``heart_right`` and ``heart_left``, from the middle of the thorax to the
    outermost points of the heart on the patient's right and left; ``thorax`` is its largest inner width.
    """

    cardiothoracic_ratio: float
    heart_right: LineBody
    heart_left: LineBody
    thorax: LineBody

    @classmethod
    def of(cls, heart: HeartSize, geometry: CropGeometry) -> Self:
        """In pixels of the source."""
        return cls(
            cardiothoracic_ratio=heart.ratio,
            heart_right=LineBody.of(heart.heart_right, geometry),
            heart_left=LineBody.of(heart.heart_left, geometry),
            thorax=LineBody.of(heart.thorax, geometry),
        )


class ZoneMapBody(StrictModel):
    """The zone of every cell of the analysed square, row by row, as runs of equal zones: [index of the zone, cells]."""

    rows: int
    columns: int
    runs: list[tuple[int, int]]

    @classmethod
    def of(cls, zones: NDArray[np.uint8]) -> Self:
        """From the zone of each cell [S, S]."""
        runs = [(zone, len(list(cells))) for zone, cells in groupby(zones.ravel().tolist())]
        return cls(rows=zones.shape[0], columns=zones.shape[1], runs=runs)


class ZoneEvidenceBody(StrictModel):
    """The part of one zone in a decision; values are null where the sum that they are a share of is 0."""

    zone: ZoneName
    area_share: float = Field(description="Share of the analysed square.")
    evidence: float = Field(description="Logits; the evidence of all zones adds up to the logit.")
    share: float | None = Field(description="Share of the logit; negative where the zone speaks against its sign.")
    evidence_for: float = Field(description="The positive patch logits alone.")
    share_for: float | None = Field(description="Share of the positive evidence, 0 to 1.")


class ZoneLedgerBody(StrictModel):
    """The decision about one finding as a sum over zones."""

    finding: str
    logit: float
    sum: float = Field(description="The evidence of all zones.")
    difference: float = Field(description="sum - logit.")
    outside_share: float | None = Field(
        description="Share of the positive evidence outside the lungs, the heart and the mediastinum."
    )
    warning: str | None = Field(
        description="Set if the finding is positive and the evidence for it lies mostly outside lungs and heart."
    )
    zones: list[ZoneEvidenceBody]

    @classmethod
    def of(cls, finding: str, logit: float, item: ZoneLedger, anatomy: Anatomy) -> Self:
        """From a ledger. The warning needs zones that can be trusted."""
        warned = item.suspicious and anatomy.is_trusted
        return cls(
            finding=finding,
            logit=logit,
            sum=item.total,
            difference=item.total - logit,
            outside_share=item.outside_share,
            warning=f"evidence outside the lungs and heart: {item.outside_share:.0%}" if warned else None,
            zones=[
                ZoneEvidenceBody(zone=name, area_share=area, **vars(zone))
                for name, area, zone in zip(ZONES, anatomy.zones.areas, item.zones, strict=True)
            ],
        )


class ZonesBody(StrictModel):
    """The anatomy of the image, and the evidence of each requested finding by zone. Untrained findings are left out."""

    trusted: bool = Field(description="Whether the masks passed all checks; without trust, `heart_size` is null.")
    reasons: list[DistrustBody]
    segmenter: SegmenterBody
    outside_film_share: float = Field(description="Share of the radiograph outside the analysed square: no evidence.")
    map: ZoneMapBody
    heart_size: HeartSizeBody | None
    findings: list[ZoneLedgerBody]

    @classmethod
    def of(cls, explanations: Explanations) -> Self | None:
        """From explanations; None unless zones were requested."""
        anatomy, geometry = explanations.anatomy, explanations.prediction.geometry
        if anatomy is None:
            return None
        return cls(
            trusted=anatomy.is_trusted,
            reasons=[DistrustBody(code=reason.code, detail=reason.detail) for reason in anatomy.reasons],
            segmenter=SegmenterBody.of(anatomy.segmenter),
            outside_film_share=anatomy.outside_film,
            map=ZoneMapBody.of(anatomy.zones.zones),
            heart_size=None if anatomy.heart is None else HeartSizeBody.of(anatomy.heart, geometry),
            findings=[
                ZoneLedgerBody.of(item.score.name, item.score.logit, item.zones, anatomy)
                for item in explanations.items
                if item.zones is not None and item.score.logit is not None
            ],
        )
