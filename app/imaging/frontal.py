"""Whether pixels look like an upright frontal chest film: a linear score of a thumbnail, to warn and never to refuse.

It knows polarity and orientation, and what is no chest at all; a lateral view it may well miss. The weights are made by
``python -m training.frontal``, which prints how often it is wrong.
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
CAUTION = ImageWarning(
    "not_frontal",
    "this does not look like an upright frontal chest film (inverted, turned, another part or no film at all?); "
    "the findings may mean nothing",
)


@dataclass(frozen=True)
class FrontalModel:
    """``weights`` [SIDE²] over a standardised thumbnail; a score below ``threshold`` is warned about."""

    weights: NDArray[np.float64]
    bias: float
    threshold: float

    def score(self, pixels: NDArray[np.float32]) -> float:
        """Log odds of a frontal film, for display-ready pixels [H, W]."""
        return float(thumbnail(pixels) @ self.weights + self.bias)


def thumbnail(pixels: NDArray[np.float32]) -> NDArray[np.float64]:
    """The centred square of [H, W] as [SIDE²] with mean 0 and deviation 1: brightness and contrast do not count."""
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
    """A warning where the film does not look frontal and upright."""
    model = frontal_model()
    return (CAUTION,) if model.score(pixels) < model.threshold else ()
