"""Planted-shortcut test: whether a map shows a marker that the model has learned to use.

Source: Adebayo et al., "Debugging tests for model explanations", 2020. Radiographs get a random label, and the positive
ones a bright marker in a corner. A head fitted to that label can only use the marker, so a faithful map shows it.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from app.patchnet.model import PatchNet
from training.compare.localization import hit, place_square, precision_at_area
from training.data.datasets import FilmDataset
from training.fit.head import fit_head
from training.measure.metrics import auroc
from training.saliency_methods import Explainer

COLUMN = 0
_MARKER = (slice(20, 44), slice(20, 36))  # rows, columns of a 512 px image: a letter's place and size
_PENALTY = 1e-4


@dataclass(frozen=True)
class Shortcut:
    """AUROC of the random label, and hit rate and precision of a method at the marker."""

    auroc: float
    hits: float
    precision: float


class Marked(Dataset[tuple[Tensor, Tensor]]):
    """Radiographs with a random label in column 0 and the marker on positive ones; other labels are unknown."""

    def __init__(self, data: FilmDataset, seed: int) -> None:
        random = torch.randint(0, 2, (len(data),), generator=torch.Generator().manual_seed(seed))
        self.labels = torch.full((len(data), data.films.labels.shape[1]), float("nan"))
        self.labels[:, COLUMN] = random
        self._data = data

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        image = self._data[index][0].clone()
        if self.labels[index, COLUMN] == 1:
            image[:, *_MARKER] = 255
        return image, self.labels[index]


def marker_mask(image_size: int) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    """The marker with a margin of 20 px, [S, S], which allows for the resolution of the maps."""
    mask = np.zeros((image_size, image_size), dtype=bool)
    rows, columns = _MARKER
    mask[max(0, rows.start - 20) : rows.stop + 20, max(0, columns.start - 20) : columns.stop + 20] = True
    return mask


def taught(network: PatchNet, backbone: str, data: Marked) -> PatchNet:
    """A copy of the model with its head fitted to the random label."""
    student = deepcopy(network)
    fit_head(student, backbone, data, _PENALTY)
    return student


def measure(network: PatchNet, data: Marked, make: Callable[[PatchNet], Explainer]) -> dict[str, Shortcut]:
    """Figures of an explainer's methods on a model that was fitted to the marker, on other radiographs."""
    with torch.inference_mode():
        logits = torch.stack([network(data[index][0][None].float() / 255)[0, COLUMN] for index in range(len(data))])
    area = auroc(logits.double().numpy(), data.labels[:, COLUMN].double().numpy())
    explainer, mask = make(network), marker_mask(network.image_size)
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in explainer.names}
    for index in torch.flatten(data.labels[:, COLUMN].nonzero()).tolist():
        for name, maps in explainer.maps(data[index][0].float() / 255, [COLUMN]).items():
            placed = place_square(maps[0], mask.shape)
            found[name].append((hit(placed, mask), precision_at_area(placed, mask)))
    return {name: Shortcut(area, *np.mean(figures, axis=0).tolist()) for name, figures in found.items()}
