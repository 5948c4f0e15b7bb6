"""Display shutters: the region of an image that is displayed (PS3.3 C.7.6.11)."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from app.imaging.dicom.attributes import Attributes

_EDGES = (
    "ShutterUpperHorizontalEdge",
    "ShutterLowerHorizontalEdge",
    "ShutterLeftVerticalEdge",
    "ShutterRightVerticalEdge",
)
_LEAST_VISIBLE = 0.05  # share of the image; a shutter that leaves less is a wrong entry
_WHITE = 65535.0  # Shutter Presentation Value is a P-value of 16 bits


def visible_region(attributes: Attributes, rows: int, columns: int, aspect: float) -> NDArray[np.bool_] | None:
    """Mask [H, W] of the pixels inside all shutters; None without a usable shutter.

    Positions are row and column numbers from 1. ``aspect`` is height by width of a pixel: a circle is round on display.
    """
    shapes = {shape.strip(" \0").upper() for shape in attributes.full_text("ShutterShape").split("\\")} - {""}
    masks: list[NDArray[np.bool_]] = []
    for shape in sorted(shapes):
        mask = _mask(attributes, shape, rows, columns, aspect)
        if mask is None:
            attributes.ignore("ShutterShape")
        else:
            masks.append(mask)
    if not masks:
        return None
    visible = np.logical_and.reduce(masks)
    if visible.mean() < _LEAST_VISIBLE:
        attributes.ignore("ShutterShape")
        return None
    return None if visible.all() else visible


def presentation_value(attributes: Attributes) -> float:
    """Displayed value in [0, 1] of what lies outside a shutter; black by default."""
    value = attributes.number("ShutterPresentationValue")
    return 0.0 if value is None else min(max(value / _WHITE, 0.0), 1.0)


def _mask(attributes: Attributes, shape: str, rows: int, columns: int, aspect: float) -> NDArray[np.bool_] | None:
    if shape == "RECTANGULAR":
        return _rectangle(attributes, rows, columns)
    if shape == "CIRCULAR":
        return _circle(attributes, rows, columns, aspect)
    return _polygon(attributes, rows, columns) if shape == "POLYGONAL" else None


def _rectangle(attributes: Attributes, rows: int, columns: int) -> NDArray[np.bool_] | None:
    edges = [attributes.number(keyword) for keyword in _EDGES]
    upper, lower, left, right = edges
    if upper is None or lower is None or left is None or right is None:
        return None
    row, column = _numbers_from_1(rows, columns)
    return (
        (row >= min(upper, lower))
        & (row <= max(upper, lower))
        & (column >= min(left, right))
        & (column <= max(left, right))
    )


def _circle(attributes: Attributes, rows: int, columns: int, aspect: float) -> NDArray[np.bool_] | None:
    center, radius = attributes.numbers("CenterOfCircularShutter"), attributes.number("RadiusOfCircularShutter")
    if len(center) != 2 or radius is None or radius <= 0:
        return None
    row, column = _numbers_from_1(rows, columns)
    return ((row - center[0]) * aspect) ** 2 + (column - center[1]) ** 2 <= radius**2


def _polygon(attributes: Attributes, rows: int, columns: int) -> NDArray[np.bool_] | None:
    numbers = attributes.numbers("VerticesOfThePolygonalShutter")
    if len(numbers) < 6 or len(numbers) % 2 or max(map(abs, numbers)) > 10 * max(rows, columns):
        return None
    canvas = Image.new("L", (columns, rows))
    vertices = [(column - 1, row - 1) for row, column in zip(numbers[::2], numbers[1::2], strict=True)]
    ImageDraw.Draw(canvas).polygon(vertices, fill=1, outline=1)
    return np.asarray(canvas, dtype=np.bool_)


def _numbers_from_1(rows: int, columns: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Row numbers [H, 1] and column numbers [1, W]."""
    return np.arange(1.0, rows + 1)[:, None], np.arange(1.0, columns + 1)[None, :]
