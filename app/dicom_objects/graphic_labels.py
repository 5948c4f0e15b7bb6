"""Labels of a presentation state: boxes of text beside the outlines they name, none over another."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.dicom_objects.content import Patch

_HEIGHT, _LETTER = 0.03, 0.018  # shares of the shorter side of the image: height of a line, width of a letter
_WIDEST = 0.9  # share of the width of the image


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels of the image; the right and lower edges belong to it."""

    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: "Box") -> bool:
        """Whether the two share any point."""
        return (
            self.left <= other.right
            and other.left <= self.right
            and self.top <= other.bottom
            and other.top <= self.bottom
        )


class LabelLayout:
    """Places labels one after another on an image of ``rows`` × ``columns``."""

    def __init__(self, rows: int, columns: int) -> None:
        self._rows, self._columns = rows, columns
        self._taken: list[Box] = []

    def place(self, text: str, patches: Sequence[Patch] = ()) -> Box:
        """A free box for a text: at the upper edge of a patch if there is room, else in the first free line."""
        height = max(1.0, _HEIGHT * min(self._rows, self._columns))
        letters = len(text) * _LETTER * min(self._rows, self._columns)
        width = max(1.0, min(letters, _WIDEST * self._columns))
        beside = ((patch.column, patch.row) for patch in patches)
        lines = ((1.0, 1.0 + number * height * 1.2) for number in range(int(self._rows / height)))
        for left, top in (*beside, *lines):
            box = self._within(left, top, width, height)
            if not any(box.overlaps(other) for other in self._taken):
                break
        else:
            box = self._within(1.0, 1.0, width, height)
        self._taken.append(box)
        return box

    def _within(self, left: float, top: float, width: float, height: float) -> Box:
        left = min(max(1.0, left), max(1.0, self._columns - width))
        top = min(max(1.0, top), max(1.0, self._rows - height))
        return Box(left, top, min(left + width, float(self._columns)), min(top + height, float(self._rows)))
