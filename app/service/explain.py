"""Explain: the evidence behind a prediction. The plain grid is the same pass; smoother maps need more of them."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

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
from app.service.models import ServedModel
from app.service.predict import Predictor
from app.service.results import DecisivePatches, Explanation, Explanations, Prediction, Score
from app.telemetry import Stopwatch

OnProgress = Callable[[int, int], None]
"""Told how many patches were classified since the last call, and how many there are in all."""

_RULES: tuple[RemovalRule, ...] = ("neutral", "drop")
_CHUNKS_IN_FLIGHT = 2


@dataclass(frozen=True)
class MapRequest:
    """What to explain: columns of findings, raw or scaled, and the offset in pixels (None: the plain grid).

    ``stride`` asks for the map of offset 1 from every stride-th patch along each axis, interpolated.
    """

    findings: tuple[int, ...]
    map: MapKind = "raw"
    offset: int | None = None
    stride: int | None = None
    border: Border = "coverage"


@dataclass(frozen=True)
class Lattices:
    """The origins a map is made of, and those of them whose patches are classified."""

    drawn: Lattice
    classified: Lattice

    @property
    def is_plain(self) -> bool:
        """Whether the map is the grid of the decision itself."""
        return self.drawn.is_plain


class Explainer:
    """Turns bytes into explanations; bounds how many smooth maps are computed at once."""

    def __init__(self, predictor: Predictor, *, max_passes: int, max_concurrent: int, chunk_images: int) -> None:
        """Make an explainer.

        Args:
            predictor: does the first pass.
            max_passes: most passes, (p / offset)², of one map.
            max_concurrent: most smooth maps at once; more are refused with QueueFull.
            chunk_images: how many images' worth of patches is handed to the scheduler at a time.
        """
        self._predictor = predictor
        self._max_passes = max_passes
        self._free_maps = max_concurrent
        self._chunk_images = chunk_images

    def lattices(self, model: ServedModel, request: MapRequest) -> Lattices:
        """Where patches are classified. Raises InvalidQuery where that is out of range or costs too many passes."""
        manifest = model.manifest
        if request.stride is not None and request.offset not in {None, 1}:
            raise InvalidQuery("a stride thins out the map of offset 1; leave the offset out")
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
            raise InvalidQuery(
                f"{asked} needs {lattices.classified.passes} passes; at most {self._max_passes} are allowed here"
            )
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
        """Predict, and lay out the evidence for the asked-for findings.

        ``deadline`` is on the ``time.monotonic`` clock. Raises what predicting raises, InvalidQuery for the offset, and
        QueueFull where as many smooth maps are being computed as are allowed.
        """
        lattices = self.lattices(model, request)
        smooth = not lattices.is_plain
        if smooth and not self._free_maps:
            raise QueueFull("as many smooth maps are being computed as are allowed; try again shortly")
        self._free_maps -= smooth
        try:
            prediction, image = await self._predictor.predict(data, model, deadline, watch)
            field = None
            if smooth:
                field = await self._classify(image.tensor, lattices.classified, model, deadline, watch, on_progress)
        finally:
            self._free_maps += smooth
        items = await asyncio.to_thread(_lay_out, prediction, request, lattices, field)
        return Explanations(prediction, request.map, lattices.drawn.offset, request.stride, request.border, items)

    async def _classify(
        self,
        image: Tensor,
        lattice: Lattice,
        model: ServedModel,
        deadline: float,
        watch: Stopwatch,
        on_progress: OnProgress | None,
    ) -> Tensor:
        """Patch logits [n², C] at every origin of the lattice, in chunks through the background lane."""
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
        except ExceptionGroup as failures:  # the first chunk to fail cancels the others; its error is the answer
            raise failures.exceptions[0] from None
        return torch.cat([task.result() for task in tasks])


def _distinct_patches(image: Tensor, patch_size: int, origins: Tensor) -> tuple[Tensor, Tensor]:
    return merge_constant(cut_patches(image, patch_size, origins))


def _lay_out(
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
    """Smallest sets around the threshold, for both removal rules; none where no threshold is configured."""
    if score.threshold is None:
        return ()
    boundary = float(torch.logit(torch.tensor(score.threshold, dtype=torch.float64)))
    sets: list[DecisivePatches] = []
    for rule in _RULES:
        flip = flip_set(patch_logits, boundary, rule)
        sufficient = sufficient_set(patch_logits, boundary, rule)
        sets.append(DecisivePatches(rule, tuple(sufficient), None if flip is None else tuple(flip)))
    return tuple(sets)
