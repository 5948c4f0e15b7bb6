"""Radiologists' annotations: boxes in CSV files, and reading and writing of CheXlocalize's JSON of masks."""

import csv
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from app.errors import ConfigurationError
from app.patchnet.findings import FINDING_NAMES, finding_index
from training.data.datasets import Films

Mask = NDArray[np.bool_]
Box = tuple[float, float, float, float]
Encoded = dict[str, Any]

_BOX_RASTER = 512


@dataclass(frozen=True)
class Annotations:
    """Masks by radiograph and finding. Without a mask, only the label decides whether a radiograph lacks a finding."""

    masks: Mapping[tuple[str, str], Encoded]
    complete: bool
    """Whether every radiograph with a finding has its mask; then one without a mask lacks the finding."""

    def mask(self, film: str, finding: str) -> Mask | None:
        """[H, W], or None without an annotation."""
        encoded = self.masks.get((film, finding))
        if encoded is None:
            return None
        mask = coco.decode(encoded).astype(bool)  # pyright: ignore[reportArgumentType] - the stub wants its own dict
        return mask if mask.any() else None

    def findings(self) -> list[str]:
        """The findings with any annotation, in label order."""
        marked = {finding for film, finding in self.masks if self.mask(film, finding) is not None}
        return [name for name in FINDING_NAMES if name in marked]


def read_annotations(path: Path) -> Annotations:
    """Boxes (``.csv``) or CheXlocalize's masks (``.json``). Raises ConfigurationError for anything else."""
    if path.suffix == ".csv":
        return read_boxes(path)
    if path.suffix == ".json":
        return read_chexlocalize(path)
    raise ConfigurationError(f"{path} is neither a CSV of boxes nor a JSON of masks")


def film_keys(films: Films, csv_file: Path, annotations: Annotations) -> list[str]:
    """The key of each radiograph in the annotations: its path in the CSV, or CheXlocalize's name of it."""
    known = {film for film, _ in annotations.masks}
    relative = [path.relative_to(csv_file.parent).as_posix() for path in films.paths]
    return [path if path in known else chexlocalize_name(path) for path in relative]


def chexlocalize_name(path: str) -> str:
    """``valid/patient64741/study1/view1_frontal.jpg`` → ``patient64741_study1_view1_frontal``."""
    return "_".join(Path(path).with_suffix("").parts[-3:])


def read_boxes(path: Path) -> Annotations:
    """A CSV with Path, Finding, x, y, width, height, as fractions of the square image; several boxes make one mask."""
    boxes: dict[tuple[str, str], list[Box]] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            for row in csv.DictReader(file):
                finding = FINDING_NAMES[finding_index(row["Finding"])]
                box = (float(row["x"]), float(row["y"]), float(row["width"]), float(row["height"]))
                boxes.setdefault((row["Path"], finding), []).append(box)
    except (KeyError, ValueError) as error:
        raise ConfigurationError(f"{path} is no CSV of boxes: {error}") from None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
    masks = {key: encode(box_mask(several, (_BOX_RASTER, _BOX_RASTER))) for key, several in boxes.items()}
    return Annotations(masks, complete=False)


def box_mask(boxes: Iterable[Box], shape: tuple[int, int]) -> Mask:
    """The pixels whose centres are in one of the boxes (x, y, width, height, as fractions): [H, W]."""
    rows = (np.arange(shape[0]) + 0.5) / shape[0]
    columns = (np.arange(shape[1]) + 0.5) / shape[1]
    mask = np.zeros(shape, dtype=bool)
    for x, y, width, height in boxes:
        mask |= np.outer((rows >= y) & (rows < y + height), (columns >= x) & (columns < x + width))
    return mask


def read_chexlocalize(path: Path) -> Annotations:
    """CheXlocalize's ``{film: {finding: {"size": [H, W], "counts": "…"}}}``, with its names of findings."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        masks = {
            (film, FINDING_NAMES[finding_index(finding)]): {"size": mask["size"], "counts": mask["counts"]}
            for film, findings in content.items()
            for finding, mask in findings.items()
        }
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ConfigurationError(f"{path} is not in CheXlocalize's format") from None
    return Annotations(masks, complete=True)


def write_chexlocalize(masks: Mapping[tuple[str, str], Mask], path: Path) -> None:
    """Write masks by radiograph and finding in the format of CheXlocalize's evaluation."""
    content: dict[str, dict[str, Encoded]] = {}
    for (film, finding), mask in masks.items():
        content.setdefault(film, {})[finding] = encode(mask)
    path.write_text(json.dumps(content), encoding="utf-8")


def encode(mask: Mask) -> Encoded:
    """A mask as COCO run lengths."""
    encoded = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    counts: bytes = encoded["counts"]  # pyright: ignore[reportAssignmentType] - the stub says str
    return {"size": list(encoded["size"]), "counts": counts.decode("ascii")}
