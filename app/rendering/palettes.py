"""Diverging palettes: evidence → colour, symmetric around a near-white for neutral evidence."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Palette = Literal["red-blue", "orange-purple"]
_LEVELS = 513  # odd, so that 0 has an entry of its own

# Anchors from strongest evidence against to strongest evidence for: ColorBrewer RdBu (reversed) and PuOr (reversed), 11
# classes, after Cynthia Brewer. Orange and purple are distinct in every common colour blindness, and from gray.
_ANCHORS: dict[Palette, tuple[str, ...]] = {
    "red-blue": (
        "053061",
        "2166ac",
        "4393c3",
        "92c5de",
        "d1e5f0",
        "f7f7f7",
        "fddbc7",
        "f4a582",
        "d6604d",
        "b2182b",
        "67001f",
    ),
    "orange-purple": (
        "2d004b",
        "542788",
        "8073ac",
        "b2abd2",
        "d8daeb",
        "f7f7f7",
        "fee0b6",
        "fdb863",
        "e08214",
        "b35806",
        "7f3b08",
    ),
}


def colour_table(palette: Palette) -> NDArray[np.uint8]:
    """RGB [513, 3] from full evidence against (0) over none (256) to full evidence for (512)."""
    anchors = np.array([list(bytes.fromhex(colour)) for colour in _ANCHORS[palette]], dtype=np.float64)
    places = np.linspace(0, _LEVELS - 1, len(anchors))
    levels = np.arange(_LEVELS)
    return np.stack([np.interp(levels, places, anchors[:, i]) for i in range(3)], axis=1).round().astype(np.uint8)


def colour_index(logits: NDArray[np.float32], limit: float) -> NDArray[np.intp]:
    """Rows of ``colour_table`` for logits of any shape: -limit … limit spans it; values beyond are clipped."""
    middle = (_LEVELS - 1) // 2
    return np.rint(np.clip(logits / limit, -1.0, 1.0) * middle + middle).astype(np.intp)
