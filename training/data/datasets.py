"""Radiographs with labels, from CSV files in CheXpert's layout. Columns are read by name; unknown labels are NaN."""

import csv
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from app.errors import ConfigurationError, MedPatchNetError
from app.imaging.decode import decode_image
from app.imaging.radiograph import DecodeLimits
from app.patchnet.findings import FINDING_NAMES
from app.patchnet.preprocessing import to_model_image
from training.data.label_sets import ELEVEN

Unknown = Literal["mask", "zeros", "ones"]


def read_film(path: Path, image_size: int) -> Tensor:
    """One radiograph, decoded and preprocessed as in the service: [1, S, S] float32, 0…1. Raises decoding errors."""
    return to_model_image(film_pixels(path.read_bytes()), image_size).tensor


def film_pixels(data: bytes) -> NDArray[np.float32]:
    """Display-ready pixels [H, W] of a radiograph of any size: a prepared one is as small as the model image.

    Raises decoding errors.
    """
    return decode_image(data, DecodeLimits(smallest_side=1)).pixels


@dataclass(frozen=True)
class Films:
    """The rows of one or several CSV files.

    ``labels`` is [N, C] float32 in the order of ``classes`` (the 14 findings): 1, 0, or NaN where unknown. ``columns``
    holds the other columns by name, as text, for subgroups; they are never an input of a model. Means are over
    the classes ``judged``, and weights are chosen by their mean AUROC. ``read`` loads a radiograph of a given side as
    [1, S, S] in [0, 1].
    """

    paths: tuple[Path, ...]
    labels: Tensor
    columns: dict[str, tuple[str, ...]]
    classes: tuple[str, ...] = FINDING_NAMES
    judged: tuple[str, ...] = ELEVEN
    read: Callable[[Path, int], Tensor] = read_film

    def __len__(self) -> int:
        return len(self.paths)

    def where(self, keep: Sequence[int]) -> "Films":
        """A subset by index."""
        columns = {name: tuple(values[index] for index in keep) for name, values in self.columns.items()}
        paths = tuple(self.paths[index] for index in keep)
        return replace(self, paths=paths, labels=self.labels[list(keep)], columns=columns)

    @property
    def patients(self) -> tuple[str, ...]:
        """The patient of each radiograph, without leading zeros; empty where unknown.

        From the column Patient, or from a folder such as ``patient00003`` (CheXpert).
        """
        named = self.columns.get("Patient", ("",) * len(self))
        whose = (name.strip() or _folder_patient(path) for name, path in zip(named, self.paths, strict=True))
        return tuple(name.lstrip("0") or name[:1] for name in whose)

    def with_value(self, column: str, value: str) -> "Films":
        """The radiographs whose ``column`` is ``value``; none without such a column."""
        values = self.columns.get(column, ("",) * len(self))
        return self.where([index for index, other in enumerate(values) if other == value])

    def without(self, column: str, value: str, patients: Collection[str] = ()) -> "Films":
        """The radiographs whose ``column`` is not ``value``, without those of ``patients``."""
        values = self.columns.get(column, ("",) * len(self))
        whose = self.patients
        return self.where([i for i, other in enumerate(values) if other != value and whose[i] not in patients])


def read_films(csv_file: Path, unknown: Unknown = "mask") -> Films:
    """Read a CSV whose Path column is relative to its folder.

    Labels: 1.0, 0.0, empty = unknown; CheXpert's -1.0 (uncertain) is unknown too. ``unknown`` replaces unknown labels
    by zeros or ones (CheXpert's U-zeros, U-ones). Raises ConfigurationError for missing columns or other values.
    """
    try:
        with csv_file.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows, header = list(reader), list(reader.fieldnames or [])
    except OSError as error:
        raise ConfigurationError(f"{csv_file} cannot be read: {error.strerror}") from None
    missing = [name for name in ("Path", *FINDING_NAMES) if name not in header]
    if missing:
        raise ConfigurationError(f"{csv_file} has no column {', '.join(missing)}")
    labels = torch.tensor([[label_value(row[name], csv_file) for name in FINDING_NAMES] for row in rows])
    if unknown != "mask":
        labels = labels.nan_to_num(0.0 if unknown == "zeros" else 1.0)
    others = [name for name in header if name not in {"Path", *FINDING_NAMES}]
    columns = {name: tuple(row[name] for row in rows) for name in others}
    return Films(tuple(csv_file.parent / row["Path"] for row in rows), labels.reshape(-1, len(FINDING_NAMES)), columns)


def join(parts: Sequence[Films]) -> Films:
    """Concatenate sets; keeps the columns that all of them have."""
    common = [name for name in parts[0].columns if all(name in part.columns for part in parts)]
    return replace(
        parts[0],
        paths=tuple(path for part in parts for path in part.paths),
        labels=torch.cat([part.labels for part in parts]),
        columns={name: tuple(value for part in parts for value in part.columns[name]) for name in common},
    )


class FilmDataset(Dataset[tuple[Tensor, Tensor]]):
    """Model images [1, S, S] uint8 with labels [14], decoded on demand, or once and kept in memory."""

    def __init__(self, films: Films, image_size: int, *, keep_in_memory: bool = False, workers: int = 2) -> None:
        self.films = films
        self._image_size = image_size
        self._images: list[Tensor] | None = None
        if keep_in_memory:
            decoded = DataLoader(self, batch_size=None, num_workers=workers)
            bar = tqdm(decoded, "decoding", unit="film", leave=False)
            self._images = [image.clone() for image, _ in bar]  # a copy frees the workers' shared memory

    def __len__(self) -> int:
        return len(self.films)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        image = self._decode(self.films.paths[index]) if self._images is None else self._images[index]
        return image, self.films.labels[index]

    def _decode(self, path: Path) -> Tensor:
        """The model image. Raises ConfigurationError, which names the file and the reason."""
        try:
            return (self.films.read(path, self._image_size) * 255).round().to(torch.uint8)
        except OSError as error:
            raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
        except MedPatchNetError as error:
            raise ConfigurationError(f"{path} cannot be used: {error.detail}") from None


def _folder_patient(path: Path) -> str:
    return next((part.removeprefix("patient") for part in path.parts if part.startswith("patient")), "")


def label_value(text: str, csv_file: Path) -> float:
    """1, 0, or NaN for an empty or uncertain label. Raises ConfigurationError for another text."""
    value = text.strip()
    if value in {"", "-1", "-1.0"}:
        return float("nan")
    if value in {"1", "1.0"}:
        return 1.0
    if value in {"0", "0.0"}:
        return 0.0
    raise ConfigurationError(f"{csv_file} has a label other than 1, 0, -1 or empty: '{value}'")
