"""The 14 CheXpert findings: their order, their names in other data sets, and their codes. The only such list."""

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
    """One finding the model scores. ``aliases`` are its names in other data sets; ``code`` its DICOM code."""

    name: str
    code: Code
    aliases: tuple[str, ...] = ()


def _private(value: str, meaning: str) -> Code:
    return Code(value, "99MPN", meaning)


FINDINGS: tuple[Finding, ...] = (
    Finding("No Finding", _private("NOFINDING", "No finding on chest radiograph"), ("Normal",)),
    Finding("Enlarged Cardiomediastinum", _private("ENLCARDMED", "Enlarged cardiomediastinal silhouette")),
    Finding("Cardiomegaly", _private("CARDIOMEGALY", "Enlarged cardiac silhouette on chest radiograph")),
    Finding("Lung Opacity", Code("112033", "DCM", "Opacity"), ("Airspace Opacity",)),
    Finding("Lung Lesion", _private("LUNGLESION", "Lung nodule or mass")),
    Finding("Edema", Code("19242006", "SCT", "Pulmonary edema")),
    Finding("Consolidation", _private("CONSOLIDATION", "Pulmonary consolidation on chest radiograph")),
    Finding("Pneumonia", _private("PNEUMONIA", "Pneumonia on chest radiograph")),
    Finding("Atelectasis", _private("ATELECTASIS", "Atelectasis on chest radiograph")),
    Finding("Pneumothorax", Code("36118008", "SCT", "Pneumothorax")),
    Finding("Pleural Effusion", Code("60046008", "SCT", "Pleural effusion"), ("Effusion",)),
    Finding(
        "Pleural Other", _private("PLEURALOTHER", "Pleural abnormality other than effusion"), ("Pleural Thickening",)
    ),
    Finding("Fracture", _private("FRACTURE", "Fracture on chest radiograph")),
    Finding("Support Devices", _private("SUPPORTDEV", "Support device on chest radiograph")),
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
    """Columns of several findings, in the order asked for, without repeats; ``all`` stands for every finding.

    Raises UnknownFinding.
    """
    indices: dict[int, None] = {}
    for name in names:
        if name.strip().casefold() == "all":
            indices.update(dict.fromkeys(range(len(FINDINGS))))
        else:
            indices[finding_index(name)] = None
    return list(indices)
