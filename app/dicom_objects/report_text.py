"""The part of a structured report that a person reads: the conclusion, then the findings in order of importance."""

from app.anatomy.zones import ZoneName
from app.dicom_objects.content import EvidenceSite, Report, ReportedFinding
from app.rendering.wording import NOTICE, ascii_text, conclusion, headline, percent

_LONGEST_WARNING = 1024


def conclusion_text(report: Report) -> str:
    """The result in one sentence."""
    return ascii_text(conclusion(report.positives, report.findings))


def finding_texts(report: Report) -> list[str]:
    """A line for each positive finding, then one for the negative, the undecided and the untrained ones each."""
    lines = [_positive(report, finding) for finding in report.positives]
    listed = {finding.name for finding in report.positives}
    rest = [finding for finding in report.findings if finding.name not in listed]
    decided = [finding for finding in rest if finding.positive is not None]
    lines += [f"{headline(finding)}." for finding in decided if finding.positive or finding.contradicted_by]
    negative = [finding for finding in decided if not finding.positive and not finding.contradicted_by]
    lines += _enumeration("Negative", [_value(finding, with_threshold=True) for finding in negative])
    undecided = [finding for finding in rest if finding.positive is None and finding.probability is not None]
    lines += _enumeration("No decision", [f"{_value(finding)} ({finding.status})" for finding in undecided])
    lines += _enumeration("Not judged (untrained)", [item.name for item in rest if item.probability is None])
    return [ascii_text(line) for line in lines]


def remark_texts(report: Report) -> list[str]:
    """What a reader should know about the radiograph, what found the zones, and once the intended use."""
    warnings = [ascii_text(f"Warning: {text}")[:_LONGEST_WARNING] for text in report.warnings]
    segmenter = report.segmenter
    zones = [f"Zones of lungs and heart by {segmenter.name} {segmenter.version}."] if segmenter is not None else []
    return [*warnings, *map(ascii_text, zones), NOTICE]


def _positive(report: Report, finding: ReportedFinding) -> str:
    parts = [headline(finding), report.whereabouts(finding), "" if finding.site is None else _site(finding.site)]
    return f"{'; '.join(filter(None, parts))}."


def _site(site: EvidenceSite) -> str:
    outside = f"{percent(site.outside)} of the positive evidence outside lungs and heart"
    return outside if site.zone is None else f"{outside}, {percent(site.share)} in {_zone_name(site.zone)}"


def _zone_name(zone: ZoneName) -> str:
    side, _, part = zone.partition("_")
    return "heart and mediastinum" if zone == "heart_mediastinum" else f"the {part} zone of the {side} lung"


def _value(finding: ReportedFinding, *, with_threshold: bool = False) -> str:
    threshold = f" (below {percent(finding.threshold)})" if with_threshold and finding.threshold is not None else ""
    return f"{finding.name} {percent(finding.probability or 0.0)}{threshold}"


def _enumeration(title: str, values: list[str]) -> list[str]:
    return [f"{title}: {', '.join(values)}."] if values else []
