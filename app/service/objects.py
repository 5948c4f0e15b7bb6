"""Several kinds of DICOM objects of one prediction; if one kind cannot be created, the others still are."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydicom.datadict import dictionary_has_tag, keyword_for_tag, tag_for_keyword

from app.dicom_objects.content import ReportKind
from app.errors import MedPatchNetError, ObjectNotPossible
from app.service.report import AnalysedFilm, Reporter
from app.telemetry import get_logger

_NAMES: Mapping[ReportKind, str] = {
    "sr": "structured report",
    "sc": "secondary capture",
    "gsps": "presentation state",
    "seg": "segmentation",
}
_KEYWORD = re.compile(r"\b[A-Z][A-Za-z]+\b")
_TAG = re.compile(r"\(([0-9A-Fa-f]{4}), ?([0-9A-Fa-f]{4})\)")


@dataclass(frozen=True)
class Objects:
    """The files of the kinds that could be made, and why the others could not."""

    files: tuple[bytes, ...]
    problems: Mapping[ReportKind, MedPatchNetError]


async def make_objects(
    reporter: Reporter,
    film: AnalysedFilm,
    kinds: Sequence[ReportKind],
    finding: int | None = None,
    *,
    zones: bool = False,
) -> Objects:
    """The objects of several kinds, as ``Reporter.report`` makes each; repeats count once.

    Raises the error of the first kind if none could be made: that of the reporter, or ObjectNotPossible for an error
    of a library.
    """
    files: list[bytes] = []
    problems: dict[ReportKind, MedPatchNetError] = {}
    distinct = tuple(dict.fromkeys(kinds))
    for kind in distinct:
        try:
            files += await reporter.report(film, kind, finding, zones=zones)
        except MedPatchNetError as error:
            problems[kind] = error
        except Exception as error:  # noqa: BLE001 - whatever a library does not expect of the image
            get_logger().error("object_not_possible", kind=kind, error=type(error).__name__)
            problems[kind] = not_possible(kind, error)
    if len(problems) == len(distinct):
        raise problems[distinct[0]]
    return Objects(tuple(files), problems)


def not_possible(kind: ReportKind, error: Exception) -> ObjectNotPossible:
    """The error of a library as a problem: names the attribute if the message does, and quotes nothing else of it."""
    attribute = _attribute(str(error))
    reason = f"its attribute {attribute} cannot be used" if attribute else "one of its attributes cannot be used"
    return ObjectNotPossible(f"no {_NAMES[kind]} ({kind}) can be made from this image: {reason}")


def _attribute(message: str) -> str | None:
    """The first DICOM attribute that a message names, by keyword or tag."""
    for match in _TAG.finditer(message):
        tag = int(match[1] + match[2], 16)
        if dictionary_has_tag(tag):
            return keyword_for_tag(tag)
    return next((word for word in _KEYWORD.findall(message) if tag_for_keyword(word) is not None), None)
