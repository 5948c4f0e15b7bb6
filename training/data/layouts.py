"""Layouts of published chest X-ray data sets. Columns are found by name, never by position."""

import csv
import gzip
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from app.errors import ConfigurationError, UnknownFinding
from app.patchnet.findings import FINDING_NAMES, finding_index

Row = Mapping[str, str]

_CHEXPERT_ROOT = "CheXpert-v1.0"
_NIH_DIRECT = {
    "Cardiomegaly": "Cardiomegaly",
    "Edema": "Edema",
    "Consolidation": "Consolidation",
    "Pneumonia": "Pneumonia",
    "Atelectasis": "Atelectasis",
    "Pneumothorax": "Pneumothorax",
    "Pleural Effusion": "Effusion",
    "Pleural Other": "Pleural_Thickening",
}
_NIH_LESIONS = frozenset({"Mass", "Nodule"})
_NIH_OPACITIES = _NIH_LESIONS | {"Infiltration", "Consolidation", "Edema", "Pneumonia", "Atelectasis"}
_NIH_CLASSES = _NIH_OPACITIES | set(_NIH_DIRECT.values()) | {"Emphysema", "Fibrosis", "Hernia", "No Finding"}


@dataclass(frozen=True)
class SourceFilm:
    """One radiograph of a data set: its file, its split, and the content of its row in the new CSV.

    ``target`` is its path in the prepared folder, without suffix, unique in its split. ``labels`` maps findings to
    CheXpert's values: "1.0", "0.0", "-1.0" (uncertain) or "" (unknown).
    """

    file: Path
    split: str
    target: str
    labels: dict[str, str]
    patient: str = ""
    sex: str = ""
    age: str = ""
    frontal_lateral: str = ""
    ap_pa: str = ""
    more: dict[str, str] = field(default_factory=dict[str, str])


def chexpert(source: Path, labels: Path) -> Iterator[SourceFilm]:
    """CheXpert's layout, also with labels of another origin such as VisualCheXbert's; the split is the CSV's name.

    The patient is that of a column Patient, or of a folder such as ``patient00003``.

    "No Finding" is the first column of CheXpert's file and the last of VisualCheXbert's: columns read by position would
    shift every label. Raises ConfigurationError for missing columns.
    """
    for row in read_rows(labels, "Path"):
        path = PurePosixPath(row["Path"])
        if path.parts[0].startswith(_CHEXPERT_ROOT):
            path = path.relative_to(path.parts[0])
        yield SourceFilm(
            file=source / path,
            split=labels.name.split(".")[0],
            target=str(path.with_suffix("")),
            labels=_labels(row, labels),
            patient=row.get("Patient") or next((part for part in path.parts if part.startswith("patient")), ""),
            sex=row.get("Sex", ""),
            age=row.get("Age", ""),
            frontal_lateral=row.get("Frontal/Lateral", ""),
            ap_pa=row.get("AP/PA", ""),
        )


def mimic(source: Path, labels: Path) -> Iterator[SourceFilm]:
    """MIMIC-CXR-JPG: ``labels`` is its CheXpert or NegBio file, by study, beside the tables of splits and views.

    Raises ConfigurationError where ``mimic-cxr-2.0.0-{split,metadata}.csv[.gz]`` are missing.
    """
    by_study = {row["study_id"]: _labels(row, labels) for row in read_rows(labels, "study_id")}
    view_of = {row["dicom_id"]: row.get("ViewPosition", "") for row in read_rows(_mimic_table(labels, "metadata"))}
    for row in read_rows(_mimic_table(labels, "split"), "dicom_id", "subject_id", "study_id", "split"):
        subject, study, view = row["subject_id"], row["study_id"], view_of.get(row["dicom_id"], "")
        if study not in by_study:
            continue  # a study without a report has no labels
        target = f"files/p{subject[:2]}/p{subject}/s{study}/{row['dicom_id']}"
        yield SourceFilm(
            file=source / f"{target}.jpg",
            split=row["split"],
            target=target,
            labels=by_study[study],
            patient=subject,
            frontal_lateral=frontal_or_lateral(view),
            ap_pa=view if view in {"AP", "PA"} else "",
        )


def nih(source: Path, labels: Path) -> Iterator[SourceFilm]:
    """NIH ChestX-ray14: ``labels`` is ``Data_Entry_2017*.csv``, beside the official split lists.

    Files are in ``images`` or in ``images_001/images`` … below ``source``. ``nih_labels`` maps NIH's classes to
    findings. Raises ConfigurationError for unknown classes and missing files.
    """
    file_of = {file.name: file for file in sorted(source.rglob("*.png"))}
    test_list = labels.parent / "test_list.txt"
    held_out = set(test_list.read_text(encoding="utf-8").split()) if test_list.is_file() else set[str]()
    for row in read_rows(labels, "Image Index", "Finding Labels", "Patient ID"):
        name = row["Image Index"]
        if name not in file_of:
            raise ConfigurationError(f"{source} has no film {name}")
        yield SourceFilm(
            file=file_of[name],
            split="test" if name in held_out else "train",
            target=Path(name).stem,
            labels=nih_labels(row["Finding Labels"]),
            patient=row["Patient ID"],
            sex={"F": "Female", "M": "Male"}.get(row.get("Patient Gender") or row.get("Patient Sex") or "", ""),
            age=row.get("Patient Age", "").rstrip("Y"),
            frontal_lateral="Frontal",
            ap_pa=row.get("View Position", ""),
            more={"NIH Finding Labels": row["Finding Labels"]},
        )


def nih_labels(text: str) -> dict[str, str]:
    """Findings from NIH's classes, such as ``Effusion|Mass``; findings without a class of NIH are unknown.

    Lung Opacity is any of NIH's opacities, Lung Lesion is Mass or Nodule. Enlarged Cardiomediastinum is 1 with
    Cardiomegaly, 0 with No Finding, else unknown. Raises ConfigurationError for an unknown class.
    """
    classes = {part.strip() for part in text.split("|")}
    if not classes <= _NIH_CLASSES:
        raise ConfigurationError(f"not a class of NIH ChestX-ray14: {', '.join(sorted(classes - _NIH_CLASSES))}")
    present = {name: theirs in classes for name, theirs in _NIH_DIRECT.items()}
    present["No Finding"] = "No Finding" in classes
    present["Lung Lesion"] = bool(classes & _NIH_LESIONS)
    present["Lung Opacity"] = bool(classes & _NIH_OPACITIES)
    if present["Cardiomegaly"] or present["No Finding"]:
        present["Enlarged Cardiomediastinum"] = present["Cardiomegaly"]
    return {name: "1.0" if value else "0.0" for name, value in present.items()}


WITH_LABELS: dict[str, Callable[[Path, Path], Iterator[SourceFilm]]] = {
    "chexpert": chexpert,
    "mimic": mimic,
    "nih": nih,
}
"""Layouts of published data sets, which have files of labels."""


def read_rows(path: Path, *needed: str) -> Iterator[Row]:
    """Rows of a CSV file, gzipped or not, by column name. Raises ConfigurationError for ``needed`` columns it lacks."""
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = [name for name in needed if name not in (reader.fieldnames or ())]
            if missing:
                raise ConfigurationError(f"{path} has no column {', '.join(missing)}")
            yield from reader
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None


def _labels(row: Row, path: Path) -> dict[str, str]:
    """The labels of a row for all findings."""
    labels = known_labels(row, path)
    missing = [name for name in FINDING_NAMES if name not in labels]
    if missing:
        raise ConfigurationError(f"{path} has no column {', '.join(missing)}")
    return labels


def known_labels(row: Row, path: Path) -> dict[str, str]:
    """The labels of a row, by finding; a column can have any name of a finding that ``findings`` accepts.

    Raises ConfigurationError for two columns of one finding.
    """
    labels: dict[str, str] = {}
    for column, text in row.items():
        try:
            name = FINDING_NAMES[finding_index(column)]
        except UnknownFinding:
            continue
        if name in labels:
            raise ConfigurationError(f"{path} has two columns for '{name}'")
        labels[name] = text
    return labels


def _mimic_table(labels: Path, name: str) -> Path:
    for suffix in (".csv", ".csv.gz"):
        path = labels.parent / f"mimic-cxr-2.0.0-{name}{suffix}"
        if path.is_file():
            return path
    raise ConfigurationError(f"mimic-cxr-2.0.0-{name}.csv is not beside {labels}")


def frontal_or_lateral(view: str) -> str:
    """Value of the column ``Frontal/Lateral`` for a View Position; empty where it is neither."""
    if view in {"AP", "PA"}:
        return "Frontal"
    return "Lateral" if view in {"LATERAL", "LL"} else ""
