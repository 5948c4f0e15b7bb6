"""Masks in the pixels of the radiograph that they were found in."""

from collections.abc import Iterator
from math import ceil

import numpy as np
from numpy.typing import NDArray

from app.anatomy.masks import Masks
from app.anatomy.segmenter import BACKGROUND, CLASSES
from app.patchnet.preprocessing import CropGeometry

Floats = NDArray[np.float32]

_BAND_PIXELS = 4_000_000  # placed at a time, so that the largest radiographs need little memory


def placed(masks: Masks, geometry: CropGeometry, rows: int, columns: int) -> NDArray[np.uint8]:
    """The class of each pixel of the stored image: [rows, columns] uint8, background outside the analysed square.

    ``geometry`` places the square in the radiograph with square pixels; ``rows`` × ``columns`` is the size of the
    stored image, whose pixels need not be square. Outlines are interpolated bilinearly between the pixels of the masks.
    """
    side = len(masks.classes)
    down = _weights(rows, geometry.rows, geometry.row, geometry.size, side)
    across = _weights(columns, geometry.columns, geometry.column, geometry.size, side)
    members: Floats = (masks.classes == np.arange(len(CLASSES))[:, None, None]).astype(np.float32)
    across_members: Floats = members @ across.T  # [4, S, columns]
    return np.concatenate(list(_bands(down, across_members)))


def _bands(down: Floats, across_members: Floats) -> Iterator[NDArray[np.uint8]]:
    """The strongest class of each pixel, some rows at a time."""
    bands = ceil(len(down) * across_members.shape[2] / _BAND_PIXELS)
    for band in np.array_split(down, bands):
        strongest: Floats = band @ across_members[BACKGROUND]
        classes = np.full(strongest.shape, BACKGROUND, dtype=np.uint8)
        for organ in range(BACKGROUND + 1, len(CLASSES)):
            members: Floats = band @ across_members[organ]
            classes[members > strongest] = organ
            np.maximum(strongest, members, out=strongest)
        yield classes


def _weights(stored: int, decoded: int, start: int, size: int, side: int) -> Floats:
    """Weights of the pixels of a mask for each pixel of one axis of the stored image: [stored, side].

    ``decoded`` is the length of this axis in the decoded radiograph, where the square begins at ``start``. A row of
    weights adds up to 1 inside the square and is 0 outside.
    """
    centres = ((np.arange(stored) + 0.5) * decoded / stored - start) / size * side - 0.5  # in pixels of the mask
    inside = (centres >= -0.5) & (centres < side - 0.5)
    distances = np.abs(centres.clip(0, side - 1)[:, None] - np.arange(side))
    return ((1 - distances).clip(min=0) * inside[:, None]).astype(np.float32)
