"""The result of decoding: display-ready pixels, facts about the image, and warnings."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

ImageFormat = Literal["dicom", "png", "jpeg"]
View = Literal["PA", "AP", "lateral"]


@dataclass(frozen=True)
class ImageWarning:
    """A warning to the reader of a result. ``code`` is stable; ``detail`` holds no patient data."""

    code: str
    detail: str


@dataclass(frozen=True)
class ImageFacts:
    """Facts about the source image. DICOM attributes are None for other formats and where the data set lacks them.

    ``rows`` and ``columns`` are the size of the pixels as displayed: upright, and with square pixels. UIDs are returned
    to the caller who sent the object and stored nowhere else. ``view`` is the View Position as written, ``projection``
    what it and other attributes mean. ``patient`` is a hash of the Patient ID and ``acquired`` a date, with a time
    where it is known; both are compared and never returned.
    """

    format: ImageFormat
    rows: int
    columns: int
    modality: str | None = None
    body_part: str | None = None
    view: str | None = None
    photometric_interpretation: str | None = None
    transfer_syntax: str | None = None
    study_instance_uid: str | None = None
    series_instance_uid: str | None = None
    sop_instance_uid: str | None = None
    projection: View | None = None
    patient: str | None = None
    acquired: str | None = None


@dataclass(frozen=True)
class Radiograph:
    """A decoded radiograph: ``pixels`` [H, W] float32 in [0, 1], display-ready, MONOCHROME2 polarity (air is dark)."""

    pixels: NDArray[np.float32]
    facts: ImageFacts
    warnings: tuple[ImageWarning, ...] = ()


@dataclass(frozen=True)
class DecodeLimits:
    """Bounds of one decode, and what it accepts.

    ``pixels`` is rows × columns, ``inflated_bytes`` the size of an inflated data set. ``chest_body_parts`` are names of
    the chest in Body Part Examined besides the known ones. ``smallest_side`` is in pixels.
    """

    pixels: int = 64_000_000
    inflated_bytes: int = 256 * 1024 * 1024
    chest_body_parts: tuple[str, ...] = ()
    smallest_side: int = 64
