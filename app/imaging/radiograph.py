"""What decoding yields: display-ready pixels and the facts a client may rely on."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

ImageFormat = Literal["dicom", "png", "jpeg"]


@dataclass(frozen=True)
class ImageWarning:
    """Something a reader of the result should know. ``code`` is stable, ``detail`` holds no patient data."""

    code: str
    detail: str


@dataclass(frozen=True)
class ImageFacts:
    """Where the pixels came from. DICOM attributes are None for other formats and where the object lacks them.

    ``rows`` and ``columns`` are those of the pixels. UIDs identify objects, not patients; they are answered to the
    caller who sent the object and written nowhere else.
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


@dataclass(frozen=True)
class Radiograph:
    """A decoded radiograph: ``pixels`` [H, W] float32 in [0, 1], display-ready, MONOCHROME2 polarity (air is dark)."""

    pixels: NDArray[np.float32]
    facts: ImageFacts
    warnings: tuple[ImageWarning, ...] = ()


@dataclass(frozen=True)
class DecodeLimits:
    """Bounds of one decode: ``pixels`` = rows × columns, ``inflated_bytes`` = a deflated data set once inflated."""

    pixels: int = 64_000_000
    inflated_bytes: int = 256 * 1024 * 1024
