"""Routing: applies the rules to one image and decides model, objects and target."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from pydicom.dataset import Dataset

from app.dicom_objects.content import ReportKind
from app.imaging.dicom.acceptance import body_part_of, modality_of
from app.imaging.dicom.file import silence
from app.pacs.configuration import Rule


@dataclass(frozen=True)
class Facts:
    """The attributes of an image that rules examine; a missing one is the empty string.

    ``descriptions`` are those of study and series, one of which must match. ``source`` is the calling AE title or, for
    an image fetched by DICOMweb, the name of the node. The free text may identify a patient: never log it.
    """

    modality: str
    body_part: str
    descriptions: tuple[str, ...]
    source: str


@dataclass(frozen=True)
class Decision:
    """What to do with an image. ``model`` is None for the default model; ``target`` names a node."""

    rule: str
    model: str | None
    outputs: tuple[ReportKind, ...]
    target: str


@dataclass(frozen=True)
class Miss:
    """A condition that does not hold: its name, its patterns, and the values of the image."""

    condition: str
    patterns: tuple[str, ...]
    found: tuple[str, ...]


@dataclass(frozen=True)
class Judgement:
    """A rule and its failed conditions."""

    rule: Rule
    misses: tuple[Miss, ...]

    @property
    def fits(self) -> bool:
        """Whether all conditions hold."""
        return not self.misses


def facts_of(dataset: Dataset, source: str) -> Facts:
    """The facts of an image; text is decoded by its character set and stripped of outer spaces."""
    with silence():
        found = dict.fromkeys(_text(dataset, name) for name in ("StudyDescription", "SeriesDescription"))
        return Facts(
            modality=modality_of(dataset) or "",
            body_part=body_part_of(dataset) or "",
            descriptions=tuple(text for text in found if text) or ("",),
            source=source.strip(" "),
        )


def judge(routes: Iterable[Rule], facts: Facts) -> tuple[Judgement, ...]:
    """All rules in order, each with its failed conditions: the explanation of ``decide``."""
    return tuple(Judgement(rule, tuple(_misses(rule, facts))) for rule in routes)


def decide(routes: Iterable[Rule], facts: Facts) -> Decision | None:
    """The decision of the first rule whose conditions all hold; None if there is none and the image is ignored."""
    for judgement in judge(routes, facts):
        if judgement.fits:
            rule = judgement.rule
            return Decision(rule.name, rule.model, rule.outputs, rule.target)
    return None


def _misses(rule: Rule, facts: Facts) -> Iterator[Miss]:
    """AE titles are case-sensitive (PS3.5 section 6.2, VR AE); everything else is compared without case."""
    when = rule.when
    for condition, patterns, found in (
        ("modality", when.modality, (facts.modality,)),
        ("body_part", when.body_part, (facts.body_part,)),
        ("description", when.description, facts.descriptions),
    ):
        if patterns is not None and not _fits(map(str.casefold, patterns), [text.casefold() for text in found]):
            yield Miss(condition, patterns, found)
    if when.source_ae is not None and not _fits(when.source_ae, [facts.source]):
        yield Miss("source_ae", when.source_ae, (facts.source,))


def _fits(patterns: Iterable[str], found: list[str]) -> bool:
    return any(fnmatchcase(text, pattern) for pattern in patterns for text in found)


def _text(dataset: Dataset, name: str) -> str:
    value: object = dataset.get(name)
    return "" if value is None else str(value).strip(" \0")
