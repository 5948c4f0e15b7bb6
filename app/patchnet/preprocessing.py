"""From display-ready pixels to the model image, and coordinates back. Shared by serving and training."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

PREPROCESSING = "center-crop/antialiased-bilinear/unit-range/1"
"""Name and version of this preprocessing. An artifact trained with another one is refused."""


@dataclass(frozen=True)
class CropGeometry:
    """Position of the model image in the source image: a centred square, scaled to the model's size.

    All lengths are in pixels, in the order (row, column). ``rows`` × ``columns`` is the size of the source, the crop is
    the square at (``row``, ``column``) of side ``size``, the model image has side ``image_size``. Coordinates are
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
        """The largest centred square of a ``rows`` × ``columns`` source. An odd remainder is cut at the far side."""
        size = min(rows, columns)
        return cls(rows, columns, (rows - size) // 2, (columns - size) // 2, size, image_size)

    @property
    def is_cropped(self) -> bool:
        """Whether any source pixel lies outside the model image."""
        return self.rows != self.columns

    @property
    def outside_share(self) -> float:
        """Share of the source that lies outside the model image."""
        return 1 - self.size**2 / (self.rows * self.columns)

    @property
    def scale(self) -> float:
        """Source pixels per model pixel."""
        return self.size / self.image_size

    def to_source(self, row: float, column: float) -> tuple[float, float]:
        """Source coordinates of model coordinates in [0, image_size]."""
        return row * self.scale + self.row, column * self.scale + self.column


@dataclass(frozen=True)
class ModelImage:
    """The input of the model: ``tensor`` [1, S, S] float32 in [0, 1], and its position in the source."""

    tensor: Tensor
    geometry: CropGeometry


def to_model_image(pixels: NDArray[np.float32], image_size: int) -> ModelImage:
    """Crop the centred square and resize it to ``image_size`` by antialiased bilinear interpolation.

    Args:
        pixels: [H, W] float32 in [0, 1], display-ready (MONOCHROME2 polarity).
        image_size: side S of the model image, pixels.

    Returns:
        The model image, float32 in [0, 1], without normalisation by mean and standard deviation.

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
    """[..., H, H] images → [..., S, S] by antialiased bilinear interpolation; unchanged where H equals S."""
    if images.shape[-1] == image_size:
        return images
    flat = images.reshape(-1, 1, *images.shape[-2:])
    resized = functional.interpolate(
        flat, (image_size, image_size), mode="bilinear", antialias=True, align_corners=False
    )
    return resized.reshape(*images.shape[:-2], image_size, image_size)
