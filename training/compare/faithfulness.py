"""Faithfulness of a map to the model that it explains, measured without annotations.

All figures are of one model and one map [S, S] for one finding. A cell is a square of the image that is blackened or
kept as a whole, so that the resolution of a map does not matter.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from training.compare.localization import Map
from training.compare.subjects import Network
from training.saliency_methods import Explainer

Array = NDArray[np.float64]
CELL = 64
STEPS = 8
_BATCH = 8
_SHIFTS = (1, 2, 4, 8)


@dataclass(frozen=True)
class Curves:
    """Logits under removal (``deletion``) and addition (``insertion``) of cells, strongest first: [STEPS + 1] each."""

    deletion: Array
    insertion: Array

    @property
    def gain(self) -> float:
        """Mean difference between insertion and deletion curve, in logits."""
        return float(np.trapezoid(self.insertion - self.deletion, dx=1 / STEPS))

    @property
    def sufficiency(self) -> float:
        """Logit of the strongest quarter alone, minus that of the black image."""
        return float(self.insertion[STEPS // 4] - self.insertion[0])

    @property
    def necessity(self) -> float:
        """Fall of the logit without the strongest quarter."""
        return float(self.deletion[0] - self.deletion[STEPS // 4])


@torch.inference_mode()
def curves(network: Network, image: Tensor, saliency_map: Map, column: int) -> Curves:
    """Blacken cells of an image [1, S, S] in the order of their mean evidence, and add them in the same order."""
    ranks = _ranks(saliency_map, network.image_size)
    cells = len(ranks) ** 2
    gone = [ranks < step * cells / STEPS for step in range(STEPS + 1)]
    masks = torch.stack([~mask for mask in gone] + gone)  # what stays: deletion, then insertion
    kept = masks.repeat_interleave(CELL, dim=1).repeat_interleave(CELL, dim=2)[:, None]
    logits = torch.cat([network(image * part)[:, column] for part in kept.split(_BATCH)]).double().numpy()
    return Curves(logits[: STEPS + 1], logits[STEPS + 1 :])


def _ranks(saliency_map: Map, image_size: int) -> Tensor:
    """Rank of each cell by its mean evidence, 0 the strongest: [S / 64, S / 64]."""
    grid = torch.from_numpy(saliency_map)[None, None]
    full = functional.interpolate(grid, size=(image_size, image_size), mode="bilinear", align_corners=False)
    means = functional.avg_pool2d(full, CELL)[0, 0]
    order = means.flatten().argsort(descending=True, stable=True)
    ranks = torch.empty_like(order)
    ranks[order] = torch.arange(len(order))
    return ranks.reshape(means.shape)


def stability(explainer: Explainer, image: Tensor, column: int) -> dict[str, float]:
    """Mean correlation of each map with the map of the image shifted by 1 to 8 px, shifted back: 1 is best."""
    size = image.shape[-1]
    before = {name: _full(maps[0], size) for name, maps in explainer.maps(image, [column]).items()}
    found: dict[str, list[float]] = {name: [] for name in explainer.names}
    for shift in _SHIFTS:
        moved = functional.pad(image, (shift, 0, shift, 0))[:, :size, :size]
        for name, maps in explainer.maps(moved, [column]).items():
            after = _full(maps[0], size)
            found[name].append(correlation(before[name][:-shift, :-shift], after[shift:, shift:]))
    return {name: float(np.mean(values)) for name, values in found.items()}


def correlation(one: Map, other: Map) -> float:
    """Pearson's r of two maps of one shape; 0 where one of them is constant."""
    if one.std() == 0 or other.std() == 0:
        return 0.0
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


def _full(saliency_map: Map, size: int) -> Map:
    grid = torch.from_numpy(saliency_map)[None, None]
    return functional.interpolate(grid, size=(size, size), mode="bilinear", align_corners=False)[0, 0].numpy()
