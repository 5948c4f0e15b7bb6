"""Display-ready pixels → model image, and the way back for coordinates. Serving and training share this one copy."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

PREPROCESSING = "center-crop/antialiased-bilinear/unit-range/1"
"""Name and version of this chain. An artifact names the chain it was trained with and is refused under another."""


@dataclass(frozen=True)
class CropGeometry:
    """Where the model image lies in the source image: a centred square, scaled to the model's size.

    All lengths are in pixels, order is always (row, column). ``rows`` × ``columns`` is the source, the crop is the
    square at (``row``, ``column``) of side ``size``, the model image has side ``image_size``. Coordinates are
    continuous: the corner of the first pixel is (0, 0).
    """

    rows: int
    columns: int
    row: int
    column: int
    size: int
    image_size: int

    @classmethod
    def centered(cls, rows: int, columns: int, image_size: int) -> "CropGeometry":
        """The largest centred square of a ``rows`` × ``columns`` source. Odd remainders go to the far side."""
        size = min(rows, columns)
        return cls(rows, columns, (rows - size) // 2, (columns - size) // 2, size, image_size)

    @property
    def is_cropped(self) -> bool:
        """Whether any source pixel lies outside the model image."""
        return self.rows != self.columns

    @property
    def scale(self) -> float:
        """Source pixels per model pixel."""
        return self.size / self.image_size

    def to_model(self, row: float, column: float) -> tuple[float, float]:
        """Source coordinates → model coordinates. Outside the crop the result lies outside [0, image_size]."""
        return (row - self.row) / self.scale, (column - self.column) / self.scale

    def to_source(self, row: float, column: float) -> tuple[float, float]:
        """Model coordinates → source coordinates, the inverse of ``to_model``."""
        return row * self.scale + self.row, column * self.scale + self.column


@dataclass(frozen=True)
class ModelImage:
    """What the network sees: ``tensor`` [1, S, S] float32 in [0, 1], and where it lies in the source."""

    tensor: Tensor
    geometry: CropGeometry


def to_model_image(pixels: NDArray[np.float32], image_size: int) -> ModelImage:
    """Crop the centred square and resize it to ``image_size`` by antialiased bilinear interpolation.

    Args:
        pixels: [H, W] float32 in [0, 1], display-ready (MONOCHROME2 polarity).
        image_size: side S of the model image, pixels.

    Returns:
        The model image, float32 in [0, 1]; no mean or standard deviation is applied.

    Raises:
        ValueError: if ``pixels`` is not two-dimensional.

    Source: MedicalPatchNet, methods: centre crop, 512 px, antialiased bilinear.
    """
    if pixels.ndim != 2:
        raise ValueError(f"expected [H, W] pixels, got {pixels.ndim} dimensions")
    geometry = CropGeometry.centered(pixels.shape[0], pixels.shape[1], image_size)
    rows = slice(geometry.row, geometry.row + geometry.size)
    columns = slice(geometry.column, geometry.column + geometry.size)
    square = torch.as_tensor(np.ascontiguousarray(pixels[rows, columns], dtype=np.float32))
    return ModelImage(resize_square(square[None], image_size), geometry)


def resize_square(images: Tensor, image_size: int) -> Tensor:
    """[..., H, H] images → [..., S, S] by antialiased bilinear interpolation; a no-op where H is S already."""
    if images.shape[-1] == image_size:
        return images
    flat = images.reshape(-1, 1, *images.shape[-2:])
    resized = functional.interpolate(
        flat, (image_size, image_size), mode="bilinear", antialias=True, align_corners=False
    )
    return resized.reshape(*images.shape[:-2], image_size, image_size)
