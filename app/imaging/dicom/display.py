"""Stored values to displayed values of a DICOM image: its grayscale pipeline, applied to the visible region."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.errors import NotAChestRadiograph
from app.imaging.dicom import transforms
from app.imaging.dicom.attributes import Attributes
from app.imaging.grayscale import (
    FullRange,
    LookupTable,
    Rescale,
    Window,
    apply_modality,
    apply_polarity,
    apply_voi,
)
from app.imaging.radiograph import ImageWarning

_IDENTITY = Rescale()


@dataclass(frozen=True)
class GrayscalePipeline:
    """The transformations of an image (PS3.4 section N.2); by default only its range of values is displayed.

    ``padding`` is the lowest and highest stored value that marks pixels without image.
    """

    modality: Rescale | LookupTable = _IDENTITY
    voi: Window | LookupTable | None = None
    inverted: bool = False
    padding: tuple[int, int] | None = None


def grayscale_pipeline(attributes: Attributes) -> tuple[GrayscalePipeline, tuple[ImageWarning, ...]]:
    """The pipeline of a grayscale image, and warnings about values that are not used as they are."""
    voi = transforms.voi_transform(attributes)
    warnings: tuple[ImageWarning, ...] = ()
    if isinstance(voi, Window) and not voi.is_valid:
        detail = "the display window has an invalid width; the full range of values is displayed"
        voi, warnings = None, (ImageWarning("window_ignored", detail),)
    if isinstance(voi, LookupTable) and voi.has_unused_bits:
        detail = (
            f"the VOI LUT declares {voi.bits} bits, but its entries end at {voi.highest:.0f}; that is displayed white"
        )
        warnings = (ImageWarning("voi_lut_range", detail),)
    modality, inverted = transforms.modality_transform(attributes), transforms.is_inverted(attributes)
    return GrayscalePipeline(modality, voi, inverted, transforms.padding_range(attributes)), warnings


def displayed(
    stored: NDArray[np.integer], pipeline: GrayscalePipeline, visible: NDArray[np.bool_] | None
) -> NDArray[np.float32]:
    """Displayed values [H, W] in [0, 1] of stored values.

    The transformations are applied to a table of all stored values, which is several times smaller than the image.
    Padding and what lies outside ``visible`` do not count for the range; padding is displayed black in both polarities.
    Raises NotAChestRadiograph where all other pixels have the same value, as stored or as displayed.
    """
    low, high, padding = _range(stored if visible is None else stored[visible], pipeline.padding)
    if low == high:
        raise NotAChestRadiograph("all pixels have the same value; only exposed radiographs are accepted")
    start, stop = int(stored.min()), int(stored.max()) + 1
    modality = apply_modality(np.arange(start, stop, dtype=np.float64), pipeline.modality)
    voi = pipeline.voi
    if voi is None:
        shown = modality[low - start : high - start + 1]
        voi = FullRange(float(shown.min()), float(shown.max()))
    values = apply_polarity(apply_voi(modality, voi), inverted=pipeline.inverted)
    if np.ptp(values[low - start : high - start + 1]) == 0:
        raise NotAChestRadiograph(
            f"all displayed pixels have the same value, by {_named(pipeline)}; only exposed radiographs are accepted"
        )
    if padding is not None:
        values[max(0, padding[0] - start) : max(0, padding[1] + 1 - start)] = 0.0
    return values.astype(np.float32)[stored.astype(np.int32) - start]


def _named(pipeline: GrayscalePipeline) -> str:
    """The attributes that determine the displayed values."""
    of_modality = "Modality LUT Sequence" if isinstance(pipeline.modality, LookupTable) else "Rescale Slope"
    of_voi = "VOI LUT Sequence" if isinstance(pipeline.voi, LookupTable) else "Window Center and Window Width"
    names = [of_modality] if pipeline.modality != _IDENTITY else []
    return " and ".join([*names, of_voi] if pipeline.voi is not None else names)


def _range(stored: NDArray[np.integer], padding: tuple[int, int] | None) -> tuple[int, int, tuple[int, int] | None]:
    """Lowest and highest value without padding, and the padding; a padding of the whole image is not used."""
    if padding is not None:
        real = stored[(stored < padding[0]) | (stored > padding[1])]
        if real.size:
            return int(real.min()), int(real.max()), padding
    return int(stored.min()), int(stored.max()), None
