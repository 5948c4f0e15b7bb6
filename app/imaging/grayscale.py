"""The grayscale transformations of PS3.3 and PS3.4 Annex N as pure functions, from stored to displayed values.

PS3.4 section N.2 defines the order: modality, then values of interest, then presentation (polarity).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

VoiFunction = Literal["LINEAR", "LINEAR_EXACT", "SIGMOID"]
_EXPONENT_LIMIT = 700.0  # exp overflows a float64 above 709


@dataclass(frozen=True)
class Rescale:
    """Rescale Slope and Intercept (PS3.3 C.11.1.1.2)."""

    slope: float = 1.0
    intercept: float = 0.0


@dataclass(frozen=True)
class LookupTable:
    """A Modality or VOI LUT: input ``first`` maps to entry 0, outputs span 0 … 2^bits - 1 (PS3.3 C.11.1.1.1)."""

    first: int
    bits: int
    entries: NDArray[np.float64]

    @property
    def has_unused_bits(self) -> bool:
        """Whether the entries hold at least 8 bits, but two bits less than declared, as some devices write them."""
        return 8 <= int(self.entries.max()).bit_length() <= self.bits - 2

    @property
    def highest(self) -> float:
        """The output that is displayed white: by the declared bits, or by those in use where they evidently differ."""
        largest = float(self.entries.max())
        bits = int(largest).bit_length() if self.has_unused_bits else self.bits
        return max(2.0**bits - 1, largest)


@dataclass(frozen=True)
class Window:
    """Window Center, Window Width and the VOI LUT Function (PS3.3 C.11.2.1.2, C.11.2.1.3)."""

    center: float
    width: float
    function: VoiFunction = "LINEAR"

    @property
    def is_valid(self) -> bool:
        """Whether both are finite and the width is at least 1 for LINEAR, above 0 otherwise (PS3.3 C.11.2.1)."""
        finite = bool(np.isfinite(self.center) and np.isfinite(self.width))
        return finite and (self.width >= 1 if self.function == "LINEAR" else self.width > 0)


@dataclass(frozen=True)
class FullRange:
    """No VOI transformation: the range of the values present, ``low`` … ``high``, is displayed."""

    low: float
    high: float


def apply_modality(stored: NDArray[np.float64], transform: Rescale | LookupTable) -> NDArray[np.float64]:
    """Modality values of stored values of any shape (PS3.3 C.11.1)."""
    if isinstance(transform, Rescale):
        return stored * transform.slope + transform.intercept
    return _look_up(stored, transform)


def apply_voi(values: NDArray[np.float64], transform: Window | LookupTable | FullRange) -> NDArray[np.float64]:
    """Displayed values in [0, 1] of modality values of any shape (PS3.3 C.11.2)."""
    if isinstance(transform, LookupTable):
        return _look_up(values, transform) / transform.highest
    if isinstance(transform, FullRange):
        return np.clip((values - transform.low) / ((transform.high - transform.low) or 1.0), 0.0, 1.0)
    return _apply_window(values, transform)


def _apply_window(values: NDArray[np.float64], window: Window) -> NDArray[np.float64]:
    if window.function == "SIGMOID":  # PS3.3 C.11.2.1.3.1
        exponent = -4.0 * (values - window.center) / window.width
        return 1.0 / (1.0 + np.exp(np.clip(exponent, -_EXPONENT_LIMIT, _EXPONENT_LIMIT)))
    if window.function == "LINEAR_EXACT":  # PS3.3 C.11.2.1.3.2
        return np.clip((values - window.center) / window.width + 0.5, 0.0, 1.0)
    middle = window.center - 0.5  # PS3.3 C.11.2.1.2.1
    if window.width == 1:
        return (values > middle).astype(np.float64)
    return np.clip((values - middle) / (window.width - 1) + 0.5, 0.0, 1.0)


def apply_polarity(displayed: NDArray[np.float64], *, inverted: bool) -> NDArray[np.float64]:
    """MONOCHROME2 polarity of displayed values in [0, 1] (PS3.3 C.7.6.3.1.2; Presentation LUT Shape: C.11.6.1)."""
    return 1.0 - displayed if inverted else displayed


def _look_up(values: NDArray[np.float64], table: LookupTable) -> NDArray[np.float64]:
    """Table entries of values; values outside the table take the first or last entry (PS3.3 C.11.1.1.1, C.11.2.1.1)."""
    index = np.clip(np.rint(values - table.first), 0, len(table.entries) - 1).astype(np.intp)
    return table.entries[index]


def gray_of_rgb(rgb: NDArray[np.integer]) -> NDArray[np.integer] | None:
    """Gray levels [H, W] of an RGB image [H, W, 3] without colour; None for a colour image.

    A difference of up to 3 % between channels (8 of 255 levels) is attributed to lossy compression.
    """
    spread = rgb.max(axis=2) - rgb.min(axis=2)
    tolerance = np.iinfo(rgb.dtype).max * 8 // 255
    return None if int(spread.max(initial=0)) > tolerance else rgb[:, :, 1]
