"""Radiographs with drawn lungs and heart."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from app.anatomy.segmenter import CLASSES
from app.errors import ConfigurationError
from training.data.datasets import read_film
from training.data.layouts import read_rows

SIDE = 256
"""Side of the stored images: larger than the segmenter's input, so that an enlarged part keeps its detail."""


@dataclass(frozen=True)
class Drawn:
    """Radiographs [N, 1, H, H] uint8 and the class of every pixel [N, H, H] uint8."""

    images: Tensor
    classes: Tensor

    def __len__(self) -> int:
        return len(self.images)


def read_drawn(csv_file: Path, side: int = SIDE) -> Drawn:
    """Read a CSV with the columns Path and Labels. Raises ConfigurationError where a file cannot be used."""
    rows = list(read_rows(csv_file, "Path", "Labels"))
    if not rows:
        raise ConfigurationError(f"{csv_file} has no rows")
    images = [(read_film(csv_file.parent / row["Path"], side) * 255).round().to(torch.uint8) for row in rows]
    return Drawn(torch.stack(images), torch.stack([_classes(csv_file.parent / row["Labels"], side) for row in rows]))


def _classes(path: Path, side: int) -> Tensor:
    with Image.open(path) as picture:
        if picture.width != picture.height:
            raise ConfigurationError(f"{path} is not square; masks belong to prepared radiographs")
        values = np.array(picture.convert("L").resize((side, side), Image.Resampling.NEAREST))
    if values.max() >= len(CLASSES):
        raise ConfigurationError(f"{path} has a class above {len(CLASSES) - 1}")
    return torch.from_numpy(values)
