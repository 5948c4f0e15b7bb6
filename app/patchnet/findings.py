"""The 14 CheXpert findings: order, names in other data sets, and codes. The only such list."""

from collections.abc import Iterable
from dataclasses import dataclass

from app.errors import UnknownFinding


@dataclass(frozen=True)
class Code:
    """A coded concept: value, scheme and meaning, as in a DICOM code sequence (PS3.3, 8.8)."""

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True)
class Finding:
    """One finding the model scores.

    ``code`` is its DICOM code and ``code_source`` where that code is defined; ``aliases`` are its names in other data
    sets.
    """

    name: str
    code: Code
    code_source: str
    aliases: tuple[str, ...] = ()


_SNOMED = "SNOMED CT"
_PRIVATE = "private: no standard code has exactly this meaning"


def _private(value: str, meaning: str) -> Code:
    return Code(value, "99MPN", meaning)


FINDINGS: tuple[Finding, ...] = (
    Finding("No Finding", _private("NOFINDING", "No finding on chest radiograph"), _PRIVATE, ("Normal",)),
    Finding("Enlarged Cardiomediastinum", _private("ENLCARDMED", "Enlarged cardiomediastinal silhouette"), _PRIVATE),
    Finding("Cardiomegaly", Code("8186001", "SCT", "Cardiomegaly"), _SNOMED),
    Finding("Lung Opacity", Code("112033", "DCM", "Abnormal opacity"), "PS3.16 CID 6101", ("Airspace Opacity",)),
    Finding("Lung Lesion", _private("LUNGLESION", "Lung nodule or mass"), _PRIVATE),
    Finding("Edema", Code("19242006", "SCT", "Pulmonary edema"), "PS3.16 CID 3700"),
    Finding("Consolidation", Code("95436008", "SCT", "Lung consolidation"), _SNOMED),
    Finding("Pneumonia", Code("233604007", "SCT", "Pneumonia"), _SNOMED),
    Finding("Atelectasis", Code("46621007", "SCT", "Atelectasis"), _SNOMED),
    Finding("Pneumothorax", Code("36118008", "SCT", "Pneumothorax"), "PS3.16 CID 6102"),
    Finding("Pleural Effusion", Code("60046008", "SCT", "Pleural effusion"), "PS3.16 CID 8134", ("Effusion",)),
    Finding(
        "Pleural Other",
        _private("PLEURALOTHER", "Pleural abnormality other than effusion"),
        _PRIVATE,
        ("Pleural Thickening",),
    ),
    Finding("Fracture", Code("125605004", "SCT", "Fracture of bone"), _SNOMED),
    Finding("Support Devices", _private("SUPPORTDEV", "Support device on chest radiograph"), _PRIVATE),
)

FINDING_NAMES: tuple[str, ...] = tuple(finding.name for finding in FINDINGS)
"""Names in label order. Column c of every logit array is ``FINDING_NAMES[c]``."""


def _normalized(name: str) -> str:
    """Letters only: ``pleural_effusion``, ``PleuralEffusion`` and ``Pleural Effusion`` are one name."""
    return "".join(letter for letter in name.casefold() if letter not in " _-\t\n")


_INDEX_BY_NAME = {
    _normalized(alias): index for index, finding in enumerate(FINDINGS) for alias in (finding.name, *finding.aliases)
}


def finding_index(name: str) -> int:
    """Column of a finding, by its name or an alias, in any letter case, with spaces, ``_``, ``-`` or nothing between.

    Raises UnknownFinding, listing the names.
    """
    index = _INDEX_BY_NAME.get(_normalized(name))
    if index is None:
        raise UnknownFinding(f"no such finding; known are: {', '.join(FINDING_NAMES)}")
    return index


def finding_indices(names: Iterable[str]) -> list[int]:
    """Columns of several findings, in the requested order, without repeats; ``all`` means every finding.

    Raises UnknownFinding.
    """
    indices: dict[int, None] = {}
    for name in names:
        if name.strip().casefold() == "all":
            indices.update(dict.fromkeys(range(len(FINDINGS))))
        else:
            indices[finding_index(name)] = None
    return list(indices)
