"""The section of the model card about decisions: statuses, operating points and positive findings per radiograph."""

from collections.abc import Mapping, Sequence

from app.patchnet.manifest import FindingRecord, OperatingPoint
from training.measure.findings import Decided
from training.measure.operating_points import (
    MOST_POSITIVES,
    MOST_POSITIVES_ON_NORMAL,
    TARGET,
    PositiveCounts,
)
from training.measure.status import LEAST_AUROC, LEAST_FILMS
from training.publish.markdown import figure, markdown_table, with_marked

SECTION = "decisions"
_BEFORE = (
    "### Subgroups of the test radiographs",
    "## On a public radiograph",
    "## On a film that anyone can install",
    "## Limits",
)

_TEXT = """\
## Decisions

Only *validated* findings are decided positive or negative by default.

- **validated**: at least {films} positive and {films} negative held-out radiographs, and a 95 % interval of the AUROC
  whose lower end is at least {auroc:.2f}.
- **weak**: measured, but on too few radiographs or with too low an AUROC. The probability is served; the decision is
  null unless a site configures an operating point.
- **derived**: the label is made from another finding's label, so the figures do not show that the finding itself is
  recognised. Served like a weak finding.
- **imported**: weights of another origin, not measured here. Served like a weak finding.
- **untrained**: no labels, or too few; all values are null.

{statuses}

### Operating points

`balanced` has the largest sum of sensitivity and specificity (Youden), `sensitive` the highest threshold with a
sensitivity of at least {target:.2f}, `specific` the lowest threshold with a specificity of at least {target:.2f}. All
are measured on validation radiographs. The predictive values (PPV, NPV) hold at the prevalence in the table.

{points}

### Positive findings per radiograph

The default operating point is **{default}**: the first of balanced and specific with at most {most} positive findings
per radiograph and at most {most_normal} on radiographs labelled No Finding; {verdict}.

{counts}

*Decided as in the service: validated findings only; No Finding is positive, and counted, only without any other
positive finding but Support Devices. On radiographs labelled No Finding, only the other findings are counted.*
"""


def with_decisions(card: str, decided: Decided) -> str:
    """A card with the section of decisions, which replaces an earlier one."""
    return with_marked(card, SECTION, decisions_section(decided), _BEFORE)


def decisions_section(decided: Decided) -> str:
    """The section in Markdown."""
    chosen = decided.valid[decided.default]
    verdict = "it meets both limits" if chosen.acceptable else "neither of them does, so specific is the default"
    return _TEXT.format(
        films=LEAST_FILMS,
        auroc=LEAST_AUROC,
        target=TARGET,
        statuses=_statuses(decided.records),
        points="\n\n".join(f"`{name}`:\n\n{_points(decided.records, name)}" for name in _names(decided.records)),
        default=decided.default,
        most=MOST_POSITIVES,
        most_normal=MOST_POSITIVES_ON_NORMAL,
        verdict=verdict,
        counts=_counts(decided.valid, decided.default, decided.test),
    )


def _statuses(records: Sequence[FindingRecord]) -> str:
    rows = [("finding", "status", "held-out radiographs", "positive / negative", "AUROC (95 %)")]
    for record in records:
        quality = record.quality
        if quality is None:
            rows.append((record.name, record.status, "-", "-", "-"))
            continue
        low, high = quality.auroc_interval
        mix = f"{quality.positives} / {quality.negatives}"
        area = f"{quality.auroc:.3f} ({low:.3f}-{high:.3f})"
        rows.append((record.name, record.status, quality.dataset, mix, area))
    return markdown_table(rows)


def _names(records: Sequence[FindingRecord]) -> list[str]:
    return list(dict.fromkeys(name for record in records for name in record.operating_points))


def _points(records: Sequence[FindingRecord], name: str) -> str:
    header = (
        "finding",
        "threshold",
        "sensitivity",
        "specificity",
        "PPV",
        "NPV",
        "prevalence",
        "positive / negative",
        "radiographs",
    )
    rows: list[tuple[str, ...]] = [header]
    rows += [
        (record.name, *_point(record.operating_points[name])) for record in records if name in record.operating_points
    ]
    return markdown_table(rows)


def _point(point: OperatingPoint) -> tuple[str, ...]:
    values = (point.threshold, point.sensitivity, point.specificity, point.ppv, point.npv, point.prevalence)
    mix = "-" if point.positives is None else f"{point.positives} / {point.negatives}"
    return (*(figure(value) for value in values), mix, point.dataset or "-")


def _counts(valid: Mapping[str, PositiveCounts], default: str, test: Sequence[PositiveCounts]) -> str:
    rows = [
        ("radiographs", "operating point", "number", "positive findings", "labelled No Finding", "positive on these")
    ]
    named = [*valid.items(), *((default, found) for found in test)]
    rows += [
        (found.dataset, name, str(found.films), figure(found.all, 2), str(found.normal_films), figure(found.normal, 2))
        for name, found in named
    ]
    return markdown_table(rows)
