"""Resampling to square pixels, so that radiographs have their true proportions."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.imaging.radiograph import ImageWarning

LARGEST_ASPECT = 8.0
"""A larger quotient of the sides of a pixel is a wrong entry."""

_SQUARE_WITHIN = 0.01


@dataclass(frozen=True)
class Squared:
    """Resampled pixels [H, W], and the warning about it."""

    pixels: NDArray[np.float32]
    warnings: tuple[ImageWarning, ...]


def with_square_pixels(pixels: NDArray[np.float32], aspect: float, largest: int) -> Squared:
    """Stretch the coarser axis of [H, W] until pixels are square; shrink the finer one beyond ``largest`` pixels."""
    if abs(aspect - 1) <= _SQUARE_WITHIN:
        return Squared(pixels, ())
    rows, columns = pixels.shape
    size = (round(rows * aspect), columns) if aspect > 1 else (rows, round(columns / aspect))
    if size[0] * size[1] > largest:
        size = (rows, max(1, round(columns / aspect))) if aspect > 1 else (max(1, round(rows * aspect)), columns)
    resized = Image.fromarray(pixels).resize((size[1], size[0]), Image.Resampling.BILINEAR)
    detail = (
        f"the pixels are not square; the image of {rows} × {columns} pixels was resampled to {size[0]} × {size[1]}, "
        "and all positions refer to the resampled image"
    )
    return Squared(np.asarray(resized), (ImageWarning("pixel_aspect", detail),))
