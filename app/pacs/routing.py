"""Which images are analysed, by which model, what is written, and where it goes: the rules applied to one image."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from pydicom.dataset import Dataset

from app.dicom_objects.content import ReportKind
from app.imaging.acceptance import body_part_of, modality_of
from app.imaging.dicom_file import silence
from app.pacs.configuration import Rule


@dataclass(frozen=True)
class Facts:
    """What rules ask of an image: each text is empty where the image has none.

    ``descriptions`` are those of study and series, one of which must fit. ``source`` is the calling AE title or, where
    the image was fetched by DICOMweb, the name of the node. Free text of a patient's study: never for logs.
    """

    modality: str
    body_part: str
    descriptions: tuple[str, ...]
    source: str


@dataclass(frozen=True)
class Decision:
    """What is done with an image. ``model`` is None for the default one; ``target`` names a node."""

    rule: str
    model: str | None
    outputs: tuple[ReportKind, ...]
    target: str


@dataclass(frozen=True)
class Miss:
    """A condition that does not hold: its name, the patterns of which none fits, and what the image has."""

    condition: str
    patterns: tuple[str, ...]
    found: tuple[str, ...]


@dataclass(frozen=True)
class Judgement:
    """A rule and everything that keeps it from fitting; it fits where that is nothing."""

    rule: Rule
    misses: tuple[Miss, ...]

    @property
    def fits(self) -> bool:
        """Whether every condition holds."""
        return not self.misses


def facts_of(dataset: Dataset, source: str) -> Facts:
    """The facts of an image, its texts decoded by its character set and cleared of outer spaces."""
    with silence():
        found = dict.fromkeys(_text(dataset, name) for name in ("StudyDescription", "SeriesDescription"))
        return Facts(
            modality=modality_of(dataset) or "",
            body_part=body_part_of(dataset) or "",
            descriptions=tuple(text for text in found if text) or ("",),
            source=source.strip(" "),
        )


def judge(routes: Iterable[Rule], facts: Facts) -> tuple[Judgement, ...]:
    """Every rule in order, with what keeps it from fitting: the explanation of ``decide``."""
    return tuple(Judgement(rule, tuple(_misses(rule, facts))) for rule in routes)


def decide(routes: Iterable[Rule], facts: Facts) -> Decision | None:
    """What the first rule that fits says; None where none does, and the image is left alone."""
    for judgement in judge(routes, facts):
        if judgement.fits:
            rule = judgement.rule
            return Decision(rule.name, rule.model, rule.outputs, rule.target)
    return None


def _misses(rule: Rule, facts: Facts) -> Iterator[Miss]:
    """AE titles are compared as they are (PS3.5: case matters), everything else in any letter case."""
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
