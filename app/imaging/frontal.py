"""A linear score of a thumbnail: does it look like an upright frontal chest radiograph? Warns, never refuses.

It detects wrong polarity, wrong orientation and other body parts; it can miss a lateral view. ``python -m
training.measure.frontal`` makes the weights and prints the error rates.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.imaging.radiograph import ImageWarning

SIDE = 32
WEIGHTS = Path(__file__).with_name("frontal.json")
NOT_FRONTAL = ImageWarning(
    "not_frontal",
    "this does not look like an upright frontal chest radiograph (inverted, rotated, another body part or not a "
    "radiograph at all?); the findings can be meaningless",
)


@dataclass(frozen=True)
class FrontalModel:
    """``weights`` [SIDE²] over a standardised thumbnail; a score below ``threshold`` causes a warning."""

    weights: NDArray[np.float64]
    bias: float
    threshold: float

    def score(self, pixels: NDArray[np.float32]) -> float:
        """Log odds that display-ready pixels [H, W] are a frontal radiograph."""
        return float(thumbnail(pixels) @ self.weights + self.bias)


def thumbnail(pixels: NDArray[np.float32]) -> NDArray[np.float64]:
    """The centred square of [H, W] as [SIDE²] with mean 0 and standard deviation 1."""
    rows, columns = pixels.shape
    side = min(rows, columns)
    top, left = (rows - side) // 2, (columns - side) // 2
    square = np.ascontiguousarray(pixels[top : top + side, left : left + side], dtype=np.float32)
    small = np.asarray(Image.fromarray(square).resize((SIDE, SIDE), Image.Resampling.BOX), dtype=np.float64).ravel()
    return (small - small.mean()) / max(float(small.std()), 1e-6)


@cache
def frontal_model() -> FrontalModel:
    """The shipped weights."""
    content = json.loads(WEIGHTS.read_bytes())
    return FrontalModel(np.asarray(content["weights"], dtype=np.float64), content["bias"], content["threshold"])


def frontal_warnings(pixels: NDArray[np.float32]) -> tuple[ImageWarning, ...]:
    """A warning unless the radiograph looks frontal and upright."""
    model = frontal_model()
    return (NOT_FRONTAL,) if model.score(pixels) < model.threshold else ()
