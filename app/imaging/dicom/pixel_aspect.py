"""Resampling to square pixels, so that radiographs have their true proportions (PS3.3 C.7.6.3.1.7)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.imaging.dicom.attributes import Attributes
from app.imaging.radiograph import ImageWarning

_SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
_SQUARE_WITHIN = 0.01
_LARGEST_ASPECT = 8.0  # a larger one is a wrong entry


@dataclass(frozen=True)
class Squared:
    """Resampled pixels [H, W], and the warning about it."""

    pixels: NDArray[np.float32]
    warnings: tuple[ImageWarning, ...]


def pixel_aspect(attributes: Attributes) -> float:
    """Height of a pixel divided by its width: by Pixel Aspect Ratio, else by a pixel spacing, else 1."""
    for keyword in ("PixelAspectRatio", *_SPACINGS):
        numbers = attributes.numbers(keyword)
        if not numbers:
            continue
        if len(numbers) == 2 and min(numbers) > 0 and max(numbers) <= _LARGEST_ASPECT * min(numbers):
            return numbers[0] / numbers[1]
        attributes.ignore(keyword)
    return 1.0


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
