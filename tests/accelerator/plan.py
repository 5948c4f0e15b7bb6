"""The parts of a run, in order, and the time each of them gets."""

from dataclasses import dataclass
from typing import Literal

Device = Literal["cuda", "cpu"]


@dataclass(frozen=True)
class Part:
    """A part of the run: its name, and its share of the minutes; what a part leaves over is for those after it."""

    name: str
    share: float


PARTS = (
    Part("device", 0.02),
    Part("tests", 0.10),
    Part("engines", 0.25),
    Part("maps", 0.10),
    Part("service", 0.15),
    Part("training", 0.38),
)
_CLOSING_SECONDS = 10.0
"""Kept at the end of the run, to write the summary."""


@dataclass
class Clock:
    """Divides the remaining time among the remaining parts by their shares."""

    total_s: float

    def seconds_for(self, part: Part, elapsed_s: float) -> float:
        """The deadline of a part that starts after ``elapsed_s``, in seconds from its start; 0 if no time is left."""
        later = PARTS[PARTS.index(part) :]
        left = self.total_s - _CLOSING_SECONDS - elapsed_s
        return max(0.0, left * part.share / sum(each.share for each in later))
