"""Where in the chest the evidence for positive findings lies, for reports."""

from collections.abc import Iterable, Iterator
from operator import itemgetter

from app.anatomy.zones import OUTSIDE, ZONES, ZoneName
from app.dicom_objects.content import EvidenceSite, ReportedFinding
from app.rendering.wording import percent
from app.service.anatomy.ledger import ZoneLedger
from app.service.anatomy.reader import Anatomy
from app.service.anatomy.sums import sums_of
from app.service.results import Prediction


def sites_of(prediction: Prediction, anatomy: Anatomy) -> dict[int, EvidenceSite]:
    """The sites of the positive findings by their columns; none where the zones cannot be trusted."""
    if not anatomy.is_trusted:
        return {}
    positives = [column for column, score in enumerate(prediction.scores) if score.positive]
    found = {column: _site(sums) for column, sums in sums_of(prediction, anatomy, positives).items()}
    return {column: site for column, site in found.items() if site is not None}


def _site(sums: ZoneLedger) -> EvidenceSite | None:
    """The zone of lungs, heart and mediastinum with the most positive evidence; None without positive evidence."""
    if sums.outside_share is None:
        return None
    inside: list[tuple[float, ZoneName]] = [
        (part.share_for or 0.0, name)
        for index, (name, part) in enumerate(zip(ZONES, sums.zones, strict=True))
        if index not in OUTSIDE
    ]
    share, zone = max(inside, key=itemgetter(0))
    return EvidenceSite(zone if share else None, share, sums.outside_share, sums.suspicious)


def site_warnings(findings: Iterable[ReportedFinding], anatomy: Anatomy | None) -> Iterator[str]:
    """Why there are no sites, and which positive findings have most of their evidence outside lungs and heart."""
    if anatomy is not None and not anatomy.is_trusted:
        reasons = "; ".join(reason.detail for reason in anatomy.reasons)
        yield f"zones are not stated, because the masks of lungs and heart cannot be trusted: {reasons}"
    for finding in findings:
        if finding.site is not None and finding.site.suspicious:
            yield f"{finding.name}: evidence outside the lungs and heart: {percent(finding.site.outside)}"
