"""Rendered saliency: the radiograph in its own geometry, with the evidence over it in colour."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from app.rendering.palettes import Palette, colour_index, colour_table
from app.rendering.png import encode_png


class FilmDepth(IntEnum):
    """Bits per pixel of a rendered radiograph; 16 preserve detail for a narrower window."""

    EIGHT = 8
    SIXTEEN = 16


_BORDER = (255, 214, 0)
_LEGEND_TEXT = (255, 255, 255)


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

    ``opacity`` in [0, 1]; ``size``: longest side of the picture in pixels, None for that of the radiograph.
    """

    limit: float
    opacity: float = 0.4
    size: int | None = None
    legend: bool = False
    palette: Palette = "red-blue"

    def __post_init__(self) -> None:
        """Raise ValueError for a limit or opacity out of range."""
        if not self.limit > 0 or not 0 <= self.opacity <= 1:
            raise ValueError("an overlay needs a limit above 0 and an opacity from 0 to 1")


def render_overlay(pixels: NDArray[np.float32], layer: SaliencyLayer, style: OverlayStyle) -> bytes:
    """A PNG of a radiograph [H, W] in [0, 1] with a saliency layer over it, upright, in the radiograph's geometry.

    Red is evidence for, blue evidence against, near-white is neutral, on a fixed symmetric scale. Outside the layer's
    square there is no colour; its border is drawn. Raises ValueError for an empty radiograph or size.
    """
    film = _draw_film(pixels, style.size)
    scale = max(film.size) / max(pixels.shape)
    box = _Box.of_layer(layer, scale, film)
    picture = film.convert("RGB")
    picture.paste(_blend(film, layer, box, scale, style), (box.left, box.top))
    drawing = ImageDraw.Draw(picture)
    stroke = max(1, round(max(picture.size) / 500))
    drawing.rectangle((box.left, box.top, box.right - 1, box.bottom - 1), outline=_BORDER, width=stroke)
    if style.legend:
        _draw_legend(picture, style)
    return encode_png(np.asarray(picture))


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
    colours = colour_table(style.palette)[
        colour_index(layer.values, style.limit)
    ]  # [S, S, 3], coloured before enlarging
    enlarged = Image.fromarray(colours.take(row_index, axis=0).take(column_index, axis=1))
    part = film.crop((box.left, box.top, box.right, box.bottom)).convert("RGB")
    return Image.blend(part, enlarged, style.opacity)


def _draw_legend(picture: Image.Image, style: OverlayStyle) -> None:
    """A vertical bar of the palette at the right edge, strongest evidence for on top, with its limits beside it."""
    height, width = max(8, picture.height // 3), max(4, picture.height // 40)
    font = ImageFont.load_default(size=max(8, picture.height // 40))
    margin = width
    left, top = picture.width - margin - width, (picture.height - height) // 2
    levels = np.linspace(style.limit, -style.limit, height, dtype=np.float32)
    bar = colour_table(style.palette)[colour_index(np.repeat(levels[:, None], width, axis=1), style.limit)]
    picture.paste(Image.fromarray(bar), (left, top))
    drawing = ImageDraw.Draw(picture)
    drawing.rectangle((left - 1, top - 1, left + width, top + height), outline=_LEGEND_TEXT)
    for logit, row in ((style.limit, top), (0.0, top + height // 2), (-style.limit, top + height)):
        text = f"{logit:+g}" if logit else "0"
        place = (left - margin // 2, row)
        drawing.text(place, text, fill=_LEGEND_TEXT, font=font, anchor="rm", stroke_width=1, stroke_fill=(0, 0, 0))
