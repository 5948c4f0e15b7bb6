"""A comparison's main figures as a section of a model card, made from ``report.json``."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from app.errors import ConfigurationError
from app.files import write_atomically
from training.publish.model_card import markdown_table

BEGIN, END = "<!-- comparison:begin -->", "<!-- comparison:end -->"
_BEFORE = "## On a film that anyone can install"
_TARGET_RATIO = 1.25

_SECTION = """\
## Compared with other methods

Localisation against radiologists' boxes on {films} test radiographs, of the patch model and of post-hoc methods on its
image-level twin (same data, recipe and budget); ProtoPNet and PIPNet were fitted on the twin's features. 95 % intervals
are bootstrapped over radiographs; thresholds were tuned on validation radiographs. `python -m training compare`
reproduces these figures and more.

{classification}

{verdicts}

{localization}

*Hit: the highest pixel is inside a box. IoU, all: false negatives and false positives count 0. IoU, TP: true positives
alone. Inside: share of the positive evidence inside the box. Precision: share of the N highest pixels inside the box, N
being its size. Smoothed: positive evidence blurred by a Gaussian of 1.5 patches, which also favours the centre;
`random, smoothed` shows this effect alone.*

Hit rate by finding:

{hits}

Faithfulness to the explained model, and a planted marker that a refitted head uses:

{faithfulness}

*Gain: mean difference of insertion and deletion curve, in standard deviations of the logit. Stability: correlation
under shifts of 1 to 8 px. Random weights: correlation with the map of a randomized model, 0 is best. Marker: share of
radiographs with the highest pixel at the marker.*
"""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Figure(_Part):
    """A figure with its interval; None where undefined."""

    value: float | None
    low: float | None
    high: float | None


class Classified(_Part):
    """A model's AUROC by finding, and ``mean``."""

    auroc: dict[str, float | None]
    auroc_interval: dict[str, tuple[float, float]]


class Localized(_Part):
    """A method's figures by finding, and ``mean``."""

    network: str
    hit_rate: dict[str, Figure]
    miou: dict[str, Figure]
    miou_true_positives: dict[str, Figure]
    energy_inside: dict[str, Figure]
    precision_at_area: dict[str, Figure]


class Faithful(_Part):
    """A method's figures on its own model."""

    network: str
    gain: Figure
    stability: Figure
    random_weights: Figure


class Planted(_Part):
    """Hit rate of a method at the planted marker."""

    hits: float


class Contested(_Part):
    """The best patch map against the best post-hoc map."""

    patch: str
    post_hoc: str
    hit_ratio: Figure


class Report(_Part):
    """The part of ``report.json`` that the section uses."""

    annotated_films: int
    classification: dict[str, Classified]
    localization: dict[str, Localized]
    contests: dict[str, Contested]
    faithfulness: dict[str, Faithful]
    shortcuts: dict[str, Planted]


def cite(report: Path, card: Path) -> None:
    """Write a comparison's figures into a model card; they replace those of an earlier comparison.

    Raises ConfigurationError where either file cannot be read or has another format.
    """
    try:
        figures = Report.model_validate_json(report.read_bytes())
        text = card.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{error.filename} cannot be read: {error.strerror}") from None
    except ValidationError as error:
        raise ConfigurationError(f"{report} is not a report of a comparison: {error.error_count()} errors") from None
    with write_atomically(card) as fresh:
        fresh.write_text(_with_section(text, section(figures), card), encoding="utf-8")


def section(report: Report) -> str:
    """The section of the card, in Markdown."""
    findings = [name for name in next(iter(report.localization.values())).hit_rate if name != "mean"]
    return _SECTION.format(
        films=report.annotated_films,
        classification=_classification(report),
        verdicts="\n".join(f"- {verdict}" for verdict in _verdicts(report)),
        localization=markdown_table(
            [
                ("method", "network", "hit rate", "IoU, all", "IoU, TP", "inside", "precision"),
                *((name, found.network, *_means(found)) for name, found in report.localization.items()),
            ]
        ),
        hits=markdown_table(
            [
                ("method", *findings),
                *(
                    (name, *(_text(found.hit_rate[finding]) for finding in findings))
                    for name, found in report.localization.items()
                ),
            ]
        ),
        faithfulness=_faithfulness(report),
    )


def _with_section(text: str, content: str, card: Path) -> str:
    block = f"{BEGIN}\n{content}{END}\n\n"
    if BEGIN in text and END in text:
        before, rest = text.split(BEGIN, 1)
        return before + block + rest.split(END, 1)[1].lstrip("\n")
    if _BEFORE not in text:
        raise ConfigurationError(f"{card} is not a model card of `training publish`: it has no '{_BEFORE}'")
    before, rest = text.split(_BEFORE, 1)
    return before + block + _BEFORE + rest


def _classification(report: Report) -> str:
    rows: list[Sequence[str]] = [("network", "mean AUROC of eleven findings, test (95 %)")]
    for name, found in report.classification.items():
        low, high = found.auroc_interval["mean"]
        rows.append((name, f"{found.auroc['mean'] or 0:.3f} ({low:.3f}-{high:.3f})"))
    return markdown_table(rows)


def _verdicts(report: Report) -> Iterable[str]:
    """The figures against their targets, met or missed, one sentence each."""
    for label, contest in report.contests.items():
        ratio = contest.hit_ratio.value or 0.0
        yield (
            f"Best patch map ({contest.patch}) over best post-hoc map ({contest.post_hoc}), maps {label}, mean hit "
            f"rate: **{_text(contest.hit_ratio, 2)}**; the target of {_TARGET_RATIO} is "
            f"{'met' if ratio >= _TARGET_RATIO else 'missed'}."
        )
    rates = {name: found.hit_rate["mean"] for name, found in report.localization.items()}
    best = next(name for name in _ranked(rates) if report.localization[name].network == "patch")
    above = (rates[best].value or 0) > (rates["centre"].value or 0)
    yield (
        f"The centre prior, which ignores the radiograph, has {_text(rates['centre'])}: {best} is "
        f"{'above' if above else 'not above'} it with {_text(rates[best])}."
    )
    for label, figure in (("IoU over TP, FP and FN", "miou"), ("IoU over TP alone", "miou_true_positives")):
        figures = ((name, getattr(found, figure)) for name, found in report.localization.items())
        ranked = _ranked({name: means["mean"] for name, means in figures if "mean" in means})
        own = next((name for name in ranked if report.localization[name].network == "patch"), None)
        if own is None:
            continue
        yield f"{label}: best is {ranked[0]}" + (
            "." if own == ranked[0] else f"; the best patch map, {own}, is no. {ranked.index(own) + 1}."
        )
    ranked = _ranked({name: found.gain for name, found in report.faithfulness.items() if found.network != "none"})
    yield f"Insertion and deletion: largest gain {ranked[0]}, then {', '.join(ranked[1:3])}."


def _ranked(figures: dict[str, Figure]) -> list[str]:
    return sorted(figures, key=lambda name: -(figures[name].value or 0.0))


def _faithfulness(report: Report) -> str:
    rows: list[Sequence[str]] = [("method", "network", "gain", "stability", "random weights", "marker")]
    for name, found in report.faithfulness.items():
        planted = report.shortcuts.get(name)
        figures = (_text(found.gain), _text(found.stability), _text(found.random_weights))
        rows.append((name, found.network, *figures, f"{planted.hits:.2f}" if planted else "-"))
    return markdown_table(rows)


def _means(found: Localized) -> Iterable[str]:
    parts = (found.hit_rate, found.miou, found.miou_true_positives, found.energy_inside, found.precision_at_area)
    return (_text(part["mean"]) if "mean" in part else "-" for part in parts)


def _text(figure: Figure, digits: int = 3) -> str:
    if figure.value is None:
        return "-"
    if figure.low is None or figure.high is None:
        return f"{figure.value:.{digits}f}"
    return f"{figure.value:.{digits}f} ({figure.low:.{digits}f}-{figure.high:.{digits}f})"
