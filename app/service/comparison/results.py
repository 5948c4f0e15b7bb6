"""The result of a comparison, independent of HTTP and JSON."""

from dataclasses import dataclass
from typing import Generic, Literal, NamedTuple, TypeVar

from torch import Tensor

from app.anatomy.alignment import LungFrame
from app.anatomy.artifact import SegmenterManifest
from app.anatomy.zones import ZoneMap
from app.imaging.radiograph import ImageWarning
from app.service.results import Prediction, Score

FilmName = Literal["current", "prior"]
T = TypeVar("T")


class Pair(NamedTuple, Generic[T]):
    """The same thing of both radiographs."""

    current: T
    prior: T


@dataclass(frozen=True)
class NoZones:
    """One reason why zones are not compared; ``film`` is None if it is a property of the service."""

    film: FilmName | None
    code: str
    detail: str


@dataclass(frozen=True)
class AlignedZones:
    """The zones of both radiographs, and the frames of the lungs that align them."""

    maps: Pair[ZoneMap]
    lungs: Pair[LungFrame]


@dataclass(frozen=True)
class ComparedZones:
    """The zones that are compared, or why none are: ``aligned`` is None exactly if there are ``reasons``.

    ``segmenter`` is None where none is installed.
    """

    segmenter: SegmenterManifest | None
    aligned: AlignedZones | None
    reasons: tuple[NoZones, ...]


@dataclass(frozen=True)
class FindingChange:
    """What changed for one finding.

    ``zones`` are the evidences of both radiographs in logits, in the order of ``ZONES``; None where zones are not
    compared. ``difference_map`` [P, P] is the change of the patch logits in the square of the current radiograph, NaN
    where the prior one does not reach; None unless it was requested and zones are compared. Both are None for an
    untrained finding.
    """

    scores: Pair[Score]
    zones: tuple[Pair[float], ...] | None
    difference_map: Tensor | None


@dataclass(frozen=True)
class Comparison:
    """The comparison of two radiographs, with the requested findings in the requested order.

    ``warnings`` are about the pair; those about one radiograph are in its prediction.
    """

    predictions: Pair[Prediction]
    zones: ComparedZones
    findings: tuple[FindingChange, ...]
    warnings: tuple[ImageWarning, ...]
