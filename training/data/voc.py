"""PASCAL VOC 2012, the paper's experiment outside of radiology: 20 classes of objects in photographs, in gray."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.datasets import VOCDetection
from tqdm import tqdm

from app.errors import ConfigurationError
from training.data.datasets import Films

CLASSES: tuple[str, ...] = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip


def read_voc(root: Path, image_set: str) -> Films:
    """The pictures of an image set (train, val, trainval) below ``root/VOCdevkit``, with labels [N, 20].

    A class with difficult objects alone is unknown, as in the challenge's own evaluation. Raises ConfigurationError
    where the data set is missing.
    """
    try:
        pictures = VOCDetection(str(root), year="2012", image_set=image_set)
    except (RuntimeError, OSError, ValueError) as error:
        raise ConfigurationError(f"{root} has no image set '{image_set}' of VOCdevkit/VOC2012: {error}") from None
    annotated = (pictures[index][1]["annotation"]["object"] for index in range(len(pictures)))
    labels = [_labels(objects) for objects in tqdm(annotated, image_set, len(pictures), leave=False)]
    paths = tuple(Path(path) for path in pictures.images)
    return Films(paths, torch.tensor(labels).reshape(-1, len(CLASSES)), {}, CLASSES, CLASSES, read_picture)


def read_picture(path: Path, image_size: int) -> Tensor:
    """A photograph in gray, resized to a square so that no labelled object is cropped: [1, S, S] in [0, 1]."""
    with Image.open(path) as picture:
        grey = picture.convert("L").resize((image_size, image_size), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.asarray(grey, dtype=np.float32) / 255)[None]


def _labels(objects: list[dict[str, str]]) -> list[float]:
    labels = dict.fromkeys(CLASSES, 0.0)
    for thing in sorted(
        objects, key=lambda thing: thing.get("difficult") != "1"
    ):  # clear objects override difficult ones
        labels[thing["name"]] = float("nan") if thing.get("difficult") == "1" else 1.0
    return list(labels.values())
