"""Films with labels, from CSV files in CheXpert's layout. Columns are read by name; unknown labels are NaN."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from app.errors import ConfigurationError
from app.imaging.decode import decode_image
from app.imaging.radiograph import DecodeLimits
from app.patchnet.findings import FINDING_NAMES
from app.patchnet.preprocessing import to_model_image

Unknown = Literal["mask", "zeros", "ones"]


@dataclass(frozen=True)
class Films:
    """The rows of one or several CSV files.

    ``labels`` is [N, 14] float32 in label order: 1, 0, or NaN where unknown. ``columns`` holds the other columns by
    name, as text, for subgroups; the network never sees them.
    """

    paths: tuple[Path, ...]
    labels: Tensor
    columns: dict[str, tuple[str, ...]]

    def __len__(self) -> int:
        return len(self.paths)

    def where(self, keep: Sequence[int]) -> "Films":
        """Some of the films, by index."""
        columns = {name: tuple(values[index] for index in keep) for name, values in self.columns.items()}
        return Films(tuple(self.paths[index] for index in keep), self.labels[list(keep)], columns)

    def without(self, column: str, value: str) -> "Films":
        """The films whose ``column`` is not ``value``; all of them where there is no such column."""
        values = self.columns.get(column, ("",) * len(self))
        return self.where([index for index, other in enumerate(values) if other != value])


def read_films(csv_file: Path, unknown: Unknown = "mask") -> Films:
    """Read a CSV whose Path column is relative to its folder.

    Labels: 1.0, 0.0, empty = unknown; CheXpert's -1.0 (uncertain) is unknown too. ``unknown`` turns unknown labels into
    zeros or ones (CheXpert's U-zeros, U-ones). Raises ConfigurationError for missing columns or other values.
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
    labels = torch.tensor([[_label(row[name], csv_file) for name in FINDING_NAMES] for row in rows])
    if unknown != "mask":
        labels = labels.nan_to_num(0.0 if unknown == "zeros" else 1.0)
    others = [name for name in header if name not in {"Path", *FINDING_NAMES}]
    columns = {name: tuple(row[name] for row in rows) for name in others}
    return Films(tuple(csv_file.parent / row["Path"] for row in rows), labels.reshape(-1, len(FINDING_NAMES)), columns)


def join(parts: Sequence[Films]) -> Films:
    """Several sets as one; only columns that all of them have are kept."""
    common = [name for name in parts[0].columns if all(name in part.columns for part in parts)]
    return Films(
        tuple(path for part in parts for path in part.paths),
        torch.cat([part.labels for part in parts]),
        {name: tuple(value for part in parts for value in part.columns[name]) for name in common},
    )


def read_film(path: Path, image_size: int) -> Tensor:
    """One film as the service sees it: [1, S, S] float32 in [0, 1]. Raises the errors of decoding, with the path."""
    radiograph = decode_image(path.read_bytes(), DecodeLimits())
    return to_model_image(radiograph.pixels, image_size).tensor


class FilmDataset(Dataset[tuple[Tensor, Tensor]]):
    """Model images [1, S, S] uint8 with labels [14]; decoded on demand, or once and kept."""

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
        return (read_film(path, self._image_size) * 255).round().to(torch.uint8)


def _label(text: str, csv_file: Path) -> float:
    value = text.strip()
    if value in {"", "-1", "-1.0"}:
        return float("nan")
    if value in {"1", "1.0"}:
        return 1.0
    if value in {"0", "0.0"}:
        return 0.0
    raise ConfigurationError(f"{csv_file} has a label that is none of 1, 0, -1 or empty: '{value}'")
