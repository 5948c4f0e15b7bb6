"""Compare two radiographs of one patient: what changed for each finding, and in which zone of the chest."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TypeVar

from app.anatomy.alignment import LungFrame
from app.errors import ImageError
from app.imaging.radiograph import Radiograph
from app.service.anatomy.reader import Anatomy, AnatomyReader
from app.service.comparison.changes import finding_changes
from app.service.comparison.checks import pair_warnings
from app.service.comparison.results import AlignedZones, ComparedZones, Comparison, FilmName, NoZones, Pair
from app.service.models import ServedModel
from app.service.predict import Predictor
from app.service.results import Prediction
from app.telemetry import Stopwatch

T = TypeVar("T")

_OTHER_ORIENTATION = frozenset({"lateral_view", "mirrored", "rotated"})
"""Warnings with which left and right lung are not where a frontal radiograph has them."""


@dataclass(frozen=True)
class CompareRequest:
    """What to compare: columns of findings, and whether to make their difference maps."""

    findings: tuple[int, ...]
    with_maps: bool = False


class Comparer:
    """Compares radiographs, concurrently. Used on one event loop."""

    def __init__(self, predictor: Predictor, anatomy: AnatomyReader) -> None:
        self._predictor = predictor
        self._anatomy = anatomy

    async def compare(
        self, files: Pair[bytes], model: ServedModel, request: CompareRequest, deadline: float, watch: Stopwatch
    ) -> Comparison:
        """Predict both radiographs, find their zones, and subtract.

        ``deadline`` is on the ``time.monotonic`` clock. Raises the errors of a prediction (those of decoding name the
        radiograph), DifferentPatients and DifferentViews.
        """
        with self._predictor.analysing():
            current = self._decode("current", files.current, deadline, watch)
            prior = self._decode("prior", files.prior, deadline, watch)
            radiographs = await _both(current, prior)
            warnings = pair_warnings(Pair(*(radiograph.facts for radiograph in radiographs)))
            analysed = await _both(*(self._analyse(film, model, deadline, watch) for film in radiographs))
        predictions = Pair(analysed.current[0], analysed.prior[0])
        anatomies = Pair(analysed.current[1], analysed.prior[1])
        zones = _compared_zones(predictions, anatomies)
        findings = await asyncio.to_thread(
            finding_changes, predictions, zones.aligned, request.findings, with_maps=request.with_maps
        )
        return Comparison(predictions, zones, findings, warnings)

    async def _decode(self, name: FilmName, file: bytes, deadline: float, watch: Stopwatch) -> Radiograph:
        try:
            return await self._predictor.decode(file, deadline, watch)
        except ImageError as error:
            error.detail = f"{name}: {error.detail}"
            raise

    async def _analyse(
        self, radiograph: Radiograph, model: ServedModel, deadline: float, watch: Stopwatch
    ) -> tuple[Prediction, Anatomy | None]:
        prediction, image = await self._predictor.classify(radiograph, model, deadline, watch)
        if not await self._anatomy.is_installed():
            return prediction, None
        return prediction, await self._anatomy.read(image.tensor, image.geometry, deadline, watch)


async def _both(current: Awaitable[T], prior: Awaitable[T]) -> Pair[T]:
    """Both results. Of two errors the first one's is raised, after both have ended."""
    outcomes = await asyncio.gather(current, prior, return_exceptions=True)
    results: list[T] = []
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
        results.append(outcome)
    return Pair(*results)


def _compared_zones(predictions: Pair[Prediction], anatomies: Pair[Anatomy | None]) -> ComparedZones:
    current, prior = anatomies
    if current is None or prior is None:
        reason = NoZones(None, "no_segmenter", "zones need a segmenter, and none is installed in the models folder")
        return ComparedZones(None, None, (reason,))
    reasons = (
        *_reasons("current", predictions.current, current),
        *_reasons("prior", predictions.prior, prior),
    )
    if reasons:
        return ComparedZones(current.segmenter, None, reasons)
    maps = Pair(current.zones, prior.zones)
    return ComparedZones(current.segmenter, AlignedZones(maps, Pair(*map(LungFrame.of, maps))), ())


def _reasons(name: FilmName, prediction: Prediction, anatomy: Anatomy) -> list[NoZones]:
    turned = [warning for warning in prediction.warnings if warning.code in _OTHER_ORIENTATION]
    return [NoZones(name, reason.code, reason.detail) for reason in (*turned, *anatomy.reasons)]
