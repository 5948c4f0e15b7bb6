"""A site's own radiographs with labels: a CSV in CheXpert's layout, or DICOM files with a CSV of labels.

The labels can be those of a reader, or mined from reports by the CheXpert labeler: its output has a column ``Reports``.
"""

from collections.abc import Iterator, Mapping
from math import isnan
from pathlib import Path

import torch
from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError

from app.errors import ConfigurationError
from app.patchnet.findings import FINDING_NAMES
from training.data.datasets import Films, label_value
from training.data.layouts import Row, SourceFilm, frontal_or_lateral, known_labels, read_rows

KEYS = ("Path", "SOPInstanceUID", "StudyInstanceUID", "AccessionNumber")
"""Columns by which a CSV of labels can name a DICOM file, in the order in which they are looked for."""

_LABELER_COLUMN = "Reports"
_TAGS = (
    *("SOPInstanceUID", "StudyInstanceUID", "AccessionNumber", "PatientID", "PatientSex", "PatientAge"),
    *("ViewPosition", "Manufacturer"),
)


def read_local(data: Path, labels: Path | None = None) -> Films:
    """Read ``data``: a CSV with a column Path and labels, or a folder of DICOM files with ``labels``, a CSV.

    Findings without a column are unknown. Raises ConfigurationError with the reason.
    """
    if data.is_dir():
        if labels is None:
            raise ConfigurationError(f"{data} is a folder: --labels must name the CSV of its labels")
        return _from_folder(data, labels)
    if labels is not None:
        raise ConfigurationError(f"{data} is a CSV and has labels of its own; --labels is for a folder of DICOM files")
    rows = list(read_rows(data, "Path"))
    if not rows:
        raise ConfigurationError(f"{data} has no rows")
    twice = _repeated([row["Path"] for row in rows])
    if twice:
        raise ConfigurationError(f"{data} has two rows for {twice}")
    return _films(
        {data.parent / row["Path"]: _values(row, data) for row in rows},
        [{name: text or "" for name, text in row.items()} for row in rows],
        data,
    )


def dicom(folder: Path, labels: Path | None) -> Iterator[SourceFilm]:
    """A folder of DICOM files as one split ``films``, with the patient, the view and other facts of their headers.

    ``labels`` is a CSV as in ``read_local``; only its radiographs are used. Without it, all files ``*.dcm`` at any
    depth are used, and no label is known. Raises ConfigurationError with the reason.
    """
    if labels is None:
        for file in sorted(folder.rglob("*.dcm")):
            yield SourceFilm(file, "films", _target(file, folder), {})
        return
    films = _from_folder(folder, labels)
    for index, file in enumerate(films.paths):
        facts = {name: values[index] for name, values in films.columns.items()}
        view = facts["AP/PA"]
        yield SourceFilm(
            file=file,
            split="films",
            target=_target(file, folder),
            labels=dict(zip(FINDING_NAMES, map(_text, films.labels[index].tolist()), strict=True)),
            patient=facts["Patient"],
            sex=facts["Sex"],
            age=facts["Age"],
            frontal_lateral=frontal_or_lateral(view),
            ap_pa=view if view in {"AP", "PA"} else "",
            more={"Manufacturer": facts["Manufacturer"]},
        )


def _target(file: Path, folder: Path) -> str:
    """The path below the folder without ``.dcm``; the last number of a UID is no suffix."""
    return file.relative_to(folder).as_posix().removesuffix(".dcm")


def _text(label: float) -> str:
    return "" if isnan(label) else str(label)


def _from_folder(folder: Path, labels: Path) -> Films:
    rows = list(read_rows(labels))
    key = next((name for name in KEYS if rows and name in rows[0]), None)
    if key is None:
        raise ConfigurationError(f"{labels} has none of the columns {', '.join(KEYS)}, by which films are found")
    twice = _repeated([row[key].strip() for row in rows])
    if twice:
        raise ConfigurationError(f"{labels} has two rows for the {key} {twice}")
    values = {row[key].strip(): _values(row, labels) for row in rows}
    found: dict[Path, dict[str, float]] = {}
    facts: list[dict[str, str]] = []
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        header = _header(file)
        if header is None:
            continue
        name = file.relative_to(folder).as_posix() if key == "Path" else str(header.get(key, "")).strip()
        if name in values:
            found[file] = values[name]
            facts.append(_facts(header))
    if not found:
        raise ConfigurationError(f"no DICOM file below {folder} has a {key} of {labels}")
    return _films(found, facts, labels)


def _films(found: Mapping[Path, dict[str, float]], facts: list[dict[str, str]], source: Path) -> Films:
    if not any(found.values()):
        raise ConfigurationError(f"{source} has no column of a finding; columns are named: {', '.join(FINDING_NAMES)}")
    unknown = float("nan")
    labels = torch.tensor([[row.get(name, unknown) for name in FINDING_NAMES] for row in found.values()])
    names = {name for row in facts for name in row} - {"Path", *FINDING_NAMES}
    columns = {name: tuple(row.get(name, "") for row in facts) for name in sorted(names)}
    return Films(tuple(found), labels, columns)


def _values(row: Row, path: Path) -> dict[str, float]:
    """Labels of a row. In the output of the CheXpert labeler, what a report does not mention is absent."""
    texts = known_labels(row, path)
    mined = _LABELER_COLUMN in row
    return {
        name: label_value("0" if mined and not (text or "").strip() else text or "", path)
        for name, text in texts.items()
    }


def _header(file: Path) -> Dataset | None:
    try:
        return dcmread(file, stop_before_pixels=True, specific_tags=list(_TAGS))
    except (InvalidDicomError, OSError):
        return None


def _facts(header: Dataset) -> dict[str, str]:
    """The columns for subgroups and for splits by patient."""
    age = str(header.get("PatientAge", "") or "")
    return {
        "Patient": str(header.get("PatientID", "") or ""),
        "Sex": {"F": "Female", "M": "Male"}.get(str(header.get("PatientSex", "")), ""),
        "Age": age.removesuffix("Y").lstrip("0") if age.endswith("Y") else "",
        "AP/PA": str(header.get("ViewPosition", "") or ""),
        "Manufacturer": str(header.get("Manufacturer", "") or ""),
    }


def _repeated(names: list[str]) -> str | None:
    seen: set[str] = set()
    return next((name for name in names if name in seen or seen.add(name)), None)
