"""Captions: words and a colour scale in a band below a picture, so that the picture can be read on its own.

The band is added below, so that nothing of the radiograph is hidden and its pixels keep their coordinates.
"""

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from app.rendering.wording import Decision, headline

_FONT_FILE = Path(__file__).parent / "fonts" / "DejaVuSans.ttf"
_TEXT, _FRAME, _BACKGROUND = (255, 255, 255), (160, 160, 160), (0, 0, 0)
_MIN_FONT, _MAX_FONT = 11, 40
_LEAST_WIDTH = 360
_LINE = 1.3  # line height in font sizes


@dataclass(frozen=True)
class Caption:
    """``title`` is written larger than ``lines``; text that does not fit is wrapped. Latin scripts can be written."""

    title: str
    lines: tuple[str, ...] = ()


class Model(Protocol):
    """The model that a caption names."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def version(self) -> str: ...  # noqa: D102


def evidence_caption(decision: Decision, model: Model, analysed_at: datetime) -> Caption:
    """The caption of the evidence for one finding: decision, model, time of the analysis and intended use."""
    made = f"Model {model.name} {model.version}, {analysed_at:%Y-%m-%d %H:%M}"
    return Caption(headline(decision), (made, "AI, research use; not a medical device, not verified by a physician"))


@dataclass(frozen=True)
class Scale:
    """A colour bar [H, W, 3] from evidence against (left) to evidence for (right), and its limit in logits."""

    bar: NDArray[np.uint8]
    limit: float
    name: str = "fixed scale"


def add_caption(picture: Image.Image, caption: Caption, scale: Scale) -> Image.Image:
    """The picture with a black band below it: title, lines and colour bar. The picture stays at the top left.

    A picture that is too narrow for words gets black columns at its right.
    """
    width = max(picture.width, _LEAST_WIDTH)
    size = min(_MAX_FONT, max(_MIN_FONT, round(max(width, picture.height) / 55)))
    large, small = _font(round(size * 1.25)), _font(size)
    margin = size
    room = width - 2 * margin
    rows = [(line, large) for line in wrap(caption.title, large, room)]
    rows += [(line, small) for text in caption.lines for line in wrap(text, small, room)]
    text_height = sum(round(font.size * _LINE) for _, font in rows)
    legend_height = _legend_height(small, scale, room)
    band = margin + text_height + legend_height + margin
    whole = Image.new("RGB", (width, picture.height + band), _BACKGROUND)
    whole.paste(picture, (0, 0))
    drawing = ImageDraw.Draw(whole)
    top = picture.height + margin
    for line, font in rows:
        drawing.text((margin, top), line, fill=_TEXT, font=font)
        top += round(font.size * _LINE)
    _draw_legend(whole, scale, small, (margin, top, room))
    return whole


def wrap(text: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """The text in lines of at most ``width`` pixels, broken at spaces, and within words that are longer than a line."""
    lines: list[str] = []
    line = ""
    for word in text.split():
        for part in _parts(word, font, width):
            longer = f"{line} {part}" if line else part
            if line and font.getlength(longer) > width:
                lines.append(line)
                longer = part
            line = longer
    return [*lines, line] if line else lines


def _parts(word: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    parts = [""]
    for letter in word:
        if parts[-1] and font.getlength(parts[-1] + letter) > width:
            parts.append("")
        parts[-1] += letter
    return parts


def _legend_texts(scale: Scale) -> tuple[str, str, str]:
    unit = f"patch logits, {scale.name}"
    return f"evidence against ({-scale.limit:g})", unit, f"evidence for ({scale.limit:+g})"


def _legend_height(font: ImageFont.FreeTypeFont, scale: Scale, room: int) -> int:
    bar, gap = round(font.size), round(font.size * 0.6)
    return gap + bar + gap // 2 + round(font.size * _LINE) * len(_legend_rows(scale, font, room))


def _legend_rows(scale: Scale, font: ImageFont.FreeTypeFont, room: int) -> list[tuple[str, str, str]]:
    """Rows of left, middle and right text: one row where all fit side by side, else the middle in its own row."""
    left, middle, right = _legend_texts(scale)
    if font.getlength(left) / 2 + font.getlength(middle) / 2 + font.size > room / 2 or (
        font.getlength(right) + font.getlength(middle) / 2 + font.size > room / 2
    ):
        return [(left, "", right), ("", middle, "")]
    return [(left, middle, right)]


def _draw_legend(whole: Image.Image, scale: Scale, font: ImageFont.FreeTypeFont, place: tuple[int, int, int]) -> None:
    left, top, room = place
    top += round(font.size * 0.6)
    height = round(font.size)
    whole.paste(Image.fromarray(scale.bar).resize((room, height), Image.Resampling.NEAREST), (left, top))
    drawing = ImageDraw.Draw(whole)
    drawing.rectangle((left - 1, top - 1, left + room, top + height), outline=_FRAME)
    top += height + round(font.size * 0.6) // 2
    for start, middle, end in _legend_rows(scale, font, room):
        for text, column, anchor in ((start, left, "la"), (middle, left + room // 2, "ma"), (end, left + room, "ra")):
            drawing.text((column, top), text, fill=_TEXT, font=font, anchor=anchor)
        top += round(font.size * _LINE)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(_FONT_FILE, size)
