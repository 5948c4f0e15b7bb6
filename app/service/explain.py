"""Explain: the evidence behind a prediction.

The plain grid comes from the pass of the prediction itself; smoother maps need further passes.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from app.errors import InvalidQuery, QueueFull
from app.inference.items import Lane
from app.patchnet.evidence import RemovalRule, flip_set, sufficient_set, summarize
from app.patchnet.grid import Lattice, cut_patches, merge_constant
from app.patchnet.saliency import (
    Border,
    MapKind,
    interpolate_evidence,
    patch_grid,
    scale_evidence,
    shift_averaged_map,
)
from app.service.anatomy.reader import Anatomy, AnatomyReader
from app.service.anatomy.sums import sums_of
from app.service.models import ServedModel
from app.service.predict import Predictor
from app.service.results import DecisivePatches, Explanation, Explanations, Prediction, Score
from app.telemetry import Stopwatch

OnProgress = Callable[[int, int], None]
"""Called with the number of patches classified since the last call, and the total number."""

_RULES: tuple[RemovalRule, ...] = ("neutral", "drop")
_CHUNKS_IN_FLIGHT = 2


@dataclass(frozen=True)
class MapRequest:
    """What to explain: columns of findings, raw or scaled evidence, and the offset in pixels (None: the plain grid).

    ``stride`` selects the map of offset 1, interpolated from every stride-th patch along each axis. ``zones`` selects
    the sums over zones too.
    """

    findings: tuple[int, ...]
    map: MapKind = "raw"
    offset: int | None = None
    stride: int | None = None
    border: Border = "coverage"
    zones: bool = False


@dataclass(frozen=True)
class Lattices:
    """The patch origins of a map, and the subset whose patches are classified."""

    drawn: Lattice
    classified: Lattice

    @property
    def is_plain(self) -> bool:
        """Whether the map is the plain grid of the decision."""
        return self.drawn.is_plain


class Explainer:
    """Explains images; limits the number of smooth maps computed at once."""

    def __init__(
        self,
        predictor: Predictor,
        anatomy: AnatomyReader,
        *,
        max_passes: int,
        max_concurrent: int,
        chunk_images: int,
    ) -> None:
        """Make an explainer.

        Args:
            predictor: makes the prediction.
            anatomy: finds lungs and heart, if zones are requested.
            max_passes: limit of the passes, (p / offset)², of one map.
            max_concurrent: limit of the smooth maps at once; more raise QueueFull.
            chunk_images: number of patches submitted to the scheduler at a time, in images.
        """
        self._predictor = predictor
        self._anatomy = anatomy
        self._max_passes = max_passes
        self._free_maps = max_concurrent
        self._chunk_images = chunk_images

    def lattices(self, model: ServedModel, request: MapRequest) -> Lattices:
        """The lattices of a request. Raises InvalidQuery if it is out of range or needs too many passes."""
        manifest = model.manifest
        if request.stride is not None and request.offset not in {None, 1}:
            raise InvalidQuery("stride applies to the map of offset 1; omit the offset")
        if request.stride is not None and not (request.stride % 2 and request.stride < manifest.patch_size):
            raise InvalidQuery(f"stride must be odd and less than {manifest.patch_size} px, got {request.stride}")
        offset = 1 if request.stride is not None else request.offset or manifest.patch_size
        try:
            drawn = Lattice.regular(manifest.image_size, manifest.patch_size, offset)
        except ValueError as error:
            raise InvalidQuery(str(error)) from None
        lattices = Lattices(drawn, drawn.thinned(request.stride or 1))
        if lattices.classified.passes > self._max_passes:
            asked = f"offset {offset}" if request.stride is None else f"stride {request.stride}"
            raise InvalidQuery(f"{asked} needs {lattices.classified.passes} passes; the limit is {self._max_passes}")
        return lattices

    async def explain(
        self,
        data: bytes,
        model: ServedModel,
        request: MapRequest,
        deadline: float,
        watch: Stopwatch,
        on_progress: OnProgress | None = None,
    ) -> Explanations:
        """Predict, and map the evidence for the requested findings.

        ``deadline`` is on the ``time.monotonic`` clock. Raises the errors of a prediction, InvalidQuery for offset and
        stride and for zones without a segmenter, and QueueFull if too many smooth maps are being computed.
        """
        lattices = self.lattices(model, request)
        smooth = not lattices.is_plain
        if smooth and not self._free_maps:
            raise QueueFull("too many smooth maps are being computed; try again shortly")
        self._free_maps -= smooth
        try:
            prediction, image = await self._predictor.predict(data, model, deadline, watch)
            anatomy, field = None, None
            if request.zones:
                anatomy = await self._anatomy.read(image.tensor, image.geometry, deadline, watch)
            if smooth:
                with self._predictor.analysing():
                    field = await self._classify(image.tensor, lattices.classified, model, deadline, watch, on_progress)
        finally:
            self._free_maps += smooth
        items = await asyncio.to_thread(_explain_findings, prediction, request, lattices, field)
        if anatomy is not None:
            items = await asyncio.to_thread(_with_zones, items, prediction, request, anatomy)
        return Explanations(
            prediction, request.map, lattices.drawn.offset, request.stride, request.border, items, anatomy
        )

    async def _classify(
        self,
        image: Tensor,
        lattice: Lattice,
        model: ServedModel,
        deadline: float,
        watch: Stopwatch,
        on_progress: OnProgress | None,
    ) -> Tensor:
        """Patch logits [n², C] at every origin of the lattice, in chunks through the low-priority lane."""
        origins = lattice.origins
        chunks: tuple[Tensor, ...] = torch.split(origins, self._chunk_images * model.manifest.patches_per_side**2)
        turn = asyncio.Semaphore(_CHUNKS_IN_FLIGHT)

        async def classify(chunk: Tensor) -> Tensor:
            async with turn:
                patches, index = await asyncio.to_thread(_distinct_patches, image, lattice.patch_size, chunk)
                inference = await model.scheduler.submit(patches, deadline, Lane.BACKGROUND)
            watch.record("queue", inference.queue_seconds)
            watch.record("inference", inference.inference_seconds)
            if on_progress is not None:
                on_progress(len(chunk), len(origins))
            return inference.logits[index]

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(classify(chunk)) for chunk in chunks]
        except ExceptionGroup as failures:  # the first failed chunk cancels the others; its error is raised
            raise failures.exceptions[0] from None
        return torch.cat([task.result() for task in tasks])


def _distinct_patches(image: Tensor, patch_size: int, origins: Tensor) -> tuple[Tensor, Tensor]:
    return merge_constant(cut_patches(image, patch_size, origins))


def _explain_findings(
    prediction: Prediction, request: MapRequest, lattices: Lattices, field: Tensor | None
) -> tuple[Explanation, ...]:
    columns = list(request.findings)
    patch_logits = prediction.patch_logits[:, columns]  # [P², K]
    probabilities = patch_logits.double().mean(dim=0).sigmoid().float()
    drawn = scale_evidence(patch_logits, probabilities) if request.map == "scaled" else patch_logits
    grids = patch_grid(drawn[None])[0]  # [K, P, P]
    smooth: list[Tensor] | None = None
    if field is not None:
        evidence = field[:, columns]
        if lattices.classified != lattices.drawn:
            evidence = interpolate_evidence(evidence, lattices.classified, lattices.drawn)
        evidence = scale_evidence(evidence, probabilities) if request.map == "scaled" else evidence
        smooth = list(shift_averaged_map(evidence, lattices.drawn, request.border))  # K × [S, S]
    return tuple(
        _explanation(prediction.scores[column], patch_logits[:, index], grids[index], smooth[index] if smooth else None)
        for index, column in enumerate(columns)
    )


def _with_zones(
    items: tuple[Explanation, ...], prediction: Prediction, request: MapRequest, anatomy: Anatomy
) -> tuple[Explanation, ...]:
    sums = sums_of(prediction, anatomy, request.findings)
    return tuple(replace(item, zones=sums.get(column)) for item, column in zip(items, request.findings, strict=True))


def _explanation(score: Score, patch_logits: Tensor, grid: Tensor, saliency_map: Tensor | None) -> Explanation:
    if score.logit is None:
        return Explanation(score, None, None, None, None, ())
    return Explanation(
        score=score,
        grid=grid,
        saliency_map=saliency_map,
        grid_mean=float(patch_logits.double().mean()),
        evidence=summarize(patch_logits),
        decisive=_decisive(score, patch_logits),
    )


def _decisive(score: Score, patch_logits: Tensor) -> tuple[DecisivePatches, ...]:
    """The smallest decisive sets for both removal rules; empty without a threshold."""
    if score.threshold is None:
        return ()
    boundary = float(torch.logit(torch.tensor(score.threshold, dtype=torch.float64)))
    sets: list[DecisivePatches] = []
    for rule in _RULES:
        flip = flip_set(patch_logits, boundary, rule)
        sufficient = sufficient_set(patch_logits, boundary, rule)
        sets.append(DecisivePatches(rule, tuple(sufficient), None if flip is None else tuple(flip)))
    return tuple(sets)
