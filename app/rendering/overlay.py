"""Rendered saliency: the radiograph in its own geometry, with the evidence over it in colour."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from app.rendering.captions import Caption, Scale, add_caption
from app.rendering.palettes import Palette, colour_index, colour_table
from app.rendering.png import encode_png

ColourScale = Literal["fixed", "display"]
"""``fixed``: the model's limit, comparable between images. ``display``: the range of one map, for the eye."""


class FilmDepth(IntEnum):
    """Bits per pixel of a rendered radiograph; 16 preserve detail for a narrower window."""

    EIGHT = 8
    SIXTEEN = 16


_BORDER = (255, 214, 0)
_LEGEND_LEVELS = 512
_LEGEND_GRAY = 96  # stands for the radiograph behind the colours of the legend


@dataclass(frozen=True)
class SaliencyLayer:
    """A saliency map [S, S] in logits, and the square of the radiograph it covers: corner and side in source pixels."""

    values: NDArray[np.float32]
    row: float
    column: float
    size: float


@dataclass(frozen=True)
class OverlayStyle:
    """How to draw. ``limit``: the logit of the strongest colour, equal for all pictures that are compared.

    ``scale_name`` is how the legend calls it. ``opacity`` in [0, 1] is that of the strongest evidence; ``size`` is the
    longest side of the drawn radiograph in pixels, None for its own.
    """

    limit: float
    opacity: float = 0.4
    size: int | None = None
    palette: Palette = "red-blue"
    scale_name: str = "fixed scale"

    def __post_init__(self) -> None:
        """Raise ValueError for a limit or opacity out of range."""
        if not self.limit > 0 or not 0 <= self.opacity <= 1:
            raise ValueError("an overlay needs a limit above 0 and an opacity from 0 to 1")


def display_limit(values: NDArray[np.float32]) -> float:
    """A limit for the range of one map: the 99th percentile of its evidence, rounded up to 1, 2 or 5 times 10^n.

    Rounding leaves few different scales, so that maps of similar strength still look alike.
    """
    strength = float(np.percentile(np.abs(values), 99))
    if not strength > 0:
        return 1.0
    decade = 10.0 ** np.floor(np.log10(strength))
    return float(next(step * decade for step in (1, 2, 5, 10) if step * decade >= strength * (1 - 1e-9)))


def render_overlay(
    pixels: NDArray[np.float32], layer: SaliencyLayer, style: OverlayStyle, caption: Caption | None = None
) -> bytes:
    """A PNG of a radiograph [H, W] in [0, 1] with a saliency layer over it; see ``draw_overlay``."""
    return encode_png(draw_overlay(pixels, layer, style, caption))


def draw_overlay(
    pixels: NDArray[np.float32], layer: SaliencyLayer, style: OverlayStyle, caption: Caption | None = None
) -> NDArray[np.uint8]:
    """RGB [H, W, 3] of a radiograph [H, W] in [0, 1] with a saliency layer over it, in the radiograph's geometry.

    Red is evidence for, blue evidence against. The opacity grows with the evidence, so that the radiograph stays as it
    is where the evidence is neutral. Outside the layer's square there is no colour; its border is drawn. A caption adds
    a band below, with the colour scale. Raises ValueError for an empty radiograph or size.
    """
    film = _draw_film(pixels, style.size)
    scale = max(film.size) / max(pixels.shape)
    box = _Box.of_layer(layer, scale, film)
    picture = film.convert("RGB")
    picture.paste(_blend(film, layer, box, scale, style), (box.left, box.top))
    drawing = ImageDraw.Draw(picture)
    stroke = max(1, round(max(picture.size) / 500))
    drawing.rectangle((box.left, box.top, box.right - 1, box.bottom - 1), outline=_BORDER, width=stroke)
    if caption is not None:
        picture = add_caption(picture, caption, Scale(_legend_bar(style), style.limit, style.scale_name))
    return np.asarray(picture)


def render_film(pixels: NDArray[np.float32], size: int | None = None, depth: FilmDepth = FilmDepth.EIGHT) -> bytes:
    """A grayscale PNG of a radiograph [H, W] in [0, 1], longest side ``size`` pixels. Raises ValueError if empty."""
    if depth == FilmDepth.EIGHT:
        return encode_png(np.asarray(_draw_film(pixels, size)))
    values = np.asarray(_resize(Image.fromarray(_checked(pixels, size)), size))
    return encode_png(np.rint(np.clip(values, 0.0, 1.0) * 65535).astype(np.uint16))


@dataclass(frozen=True)
class _Box:
    """A rectangle of whole pixels of the picture; right and bottom are exclusive."""

    left: int
    top: int
    right: int
    bottom: int

    @staticmethod
    def of_layer(layer: SaliencyLayer, scale: float, film: Image.Image) -> "_Box":
        left, top = (min(max(0, round(start * scale)), end - 1) for start, end in _starts(layer, film))
        right = min(max(left + 1, round((layer.column + layer.size) * scale)), film.width)
        bottom = min(max(top + 1, round((layer.row + layer.size) * scale)), film.height)
        return _Box(left, top, right, bottom)


def _starts(layer: SaliencyLayer, film: Image.Image) -> tuple[tuple[float, int], tuple[float, int]]:
    return (layer.column, film.width), (layer.row, film.height)


def _draw_film(pixels: NDArray[np.float32], size: int | None) -> Image.Image:
    """The radiograph as 8-bit gray, resized with its aspect ratio."""
    gray = np.rint(np.clip(_checked(pixels, size), 0.0, 1.0) * 255).astype(np.uint8)
    return _resize(Image.fromarray(gray), size)


def _checked(pixels: NDArray[np.float32], size: int | None) -> NDArray[np.float32]:
    if not pixels.size or (size is not None and size < 1):
        raise ValueError("a film and its picture need at least one pixel")
    return pixels


def _resize(film: Image.Image, size: int | None) -> Image.Image:
    if size is None or size == max(film.size):
        return film
    scale = size / max(film.size)
    return film.resize(
        (max(1, round(film.width * scale)), max(1, round(film.height * scale))), Image.Resampling.LANCZOS
    )


def _blend(film: Image.Image, layer: SaliencyLayer, box: _Box, scale: float, style: OverlayStyle) -> Image.Image:
    """The radiograph under the layer, blended with its colours; each pixel takes the value at its centre."""
    side = layer.values.shape[0]
    rows = ((np.arange(box.top, box.bottom) + 0.5) / scale - layer.row) / layer.size * side
    columns = ((np.arange(box.left, box.right) + 0.5) / scale - layer.column) / layer.size * side
    row_index, column_index = (np.clip(np.floor(at), 0, side - 1).astype(np.intp) for at in (rows, columns))
    coloured = Image.fromarray(_coloured(layer.values, style))  # [S, S, 4], coloured before enlarging
    enlarged = Image.fromarray(np.asarray(coloured).take(row_index, axis=0).take(column_index, axis=1))
    part = film.crop((box.left, box.top, box.right, box.bottom)).convert("RGB")
    part.paste(enlarged.convert("RGB"), (0, 0), enlarged.getchannel("A"))
    return part


def _coloured(logits: NDArray[np.float32], style: OverlayStyle) -> NDArray[np.uint8]:
    """RGBA [H, W, 4] of logits [H, W]: the palette's colour, and an opacity from 0 (neutral) to the style's (limit)."""
    strength = np.sqrt(np.clip(np.abs(logits) / style.limit, 0.0, 1.0))  # the root keeps moderate evidence visible
    alpha = np.rint(255 * style.opacity * strength).astype(np.uint8)
    return np.concatenate([colour_table(style.palette)[colour_index(logits, style.limit)], alpha[..., None]], axis=-1)


def _legend_bar(style: OverlayStyle) -> NDArray[np.uint8]:
    """RGB [1, W, 3] from the strongest evidence against to the strongest for, over gray as over a radiograph."""
    levels = np.linspace(-style.limit, style.limit, _LEGEND_LEVELS, dtype=np.float32)[None]
    bar = Image.fromarray(_coloured(levels, style))
    gray = Image.new("RGB", bar.size, (_LEGEND_GRAY,) * 3)
    gray.paste(bar.convert("RGB"), (0, 0), bar.getchannel("A"))
    return np.asarray(gray)
