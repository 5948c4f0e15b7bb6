"""Localisation metrics of one map against one mask. Pure functions.

Maps are [H, W] in any unit, higher is more evidence; masks are [H, W] bool of the same radiograph. Source of
hit rate and IoU: Saporta et al., "Benchmarking saliency methods for chest X-ray interpretation", 2022 (CheXlocalize).
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

Map = NDArray[np.float32]
Mask = NDArray[np.bool_]
Curve = NDArray[np.float64]

THRESHOLDS = np.arange(1, 200) / 200
"""Candidates for the threshold of a normalised map."""


def resize_map(saliency_map: Map, shape: tuple[int, int]) -> Map:
    """The map resized to the radiograph: [h, w] → [H, W], bilinear."""
    grid = torch.from_numpy(saliency_map)[None, None]
    return functional.interpolate(grid, size=shape, mode="bilinear", align_corners=False)[0, 0].numpy()


def place_square(saliency_map: Map, shape: tuple[int, int]) -> Map:
    """Place a map of the central square in the whole radiograph: [S, S] → [H, W].

    Pixels outside the square get the map's lowest value, because they hold no evidence.
    """
    side = min(shape)
    top, left = (shape[0] - side) // 2, (shape[1] - side) // 2
    placed = np.full(shape, saliency_map.min(), dtype=np.float32)
    placed[top : top + side, left : left + side] = resize_map(saliency_map, (side, side))
    return placed


def normalized(saliency_map: Map) -> Map:
    """The map scaled to 0 (lowest value) … 1 (highest); 0 for a constant map."""
    low, high = saliency_map.min(), saliency_map.max()
    return (saliency_map - low) / (high - low) if high > low else np.zeros_like(saliency_map)


def hit(saliency_map: Map, mask: Mask) -> bool:
    """Whether the highest pixel is in the mask; of several highest pixels the first counts."""
    return bool(mask.ravel()[int(saliency_map.argmax())])


def iou(predicted: Mask, truth: Mask) -> float:
    """Intersection over union; NaN where both are empty."""
    union = (predicted | truth).sum()
    return float((predicted & truth).sum() / union) if union else float("nan")


def iou_curve(saliency_map: Map, truth: Mask, thresholds: Curve = THRESHOLDS) -> Curve:
    """IoU of ``truth`` with the normalised map above each threshold: [T], computed by sorting."""
    values, limits = normalized(saliency_map), thresholds.astype(np.float32)  # float32 as CheXlocalize: ties count
    above = values.size - np.searchsorted(np.sort(values, axis=None), limits, side="right")
    inside = np.sort(values[truth])
    shared = len(inside) - np.searchsorted(inside, limits, side="right")
    union = above + len(inside) - shared
    return np.divide(shared, union, out=np.full(len(thresholds), np.nan), where=union > 0)


def energy_inside(saliency_map: Map, mask: Mask) -> float:
    """Share of the positive evidence inside the mask, 0…1 (energy-based pointing game); 0 without positive evidence.

    Source: Wang et al., "Score-CAM", 2020.
    """
    positive = np.maximum(saliency_map, 0).astype(np.float64)
    total = positive.sum()
    return float(positive[mask].sum() / total) if total > 0 else 0.0


def precision_at_area(saliency_map: Map, mask: Mask) -> float:
    """Share of the N highest pixels that are in the mask, N being the mask's size: no threshold to tune."""
    count = int(mask.sum())
    highest = np.argpartition(-saliency_map.ravel(), count - 1)[:count]
    return float(mask.ravel()[highest].mean())
