"""Explain: the evidence behind a prediction. The plain grid is the same pass; smoother maps need more of them."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from app.errors import InvalidQuery, QueueFull
from app.inference.scheduler import Lane
from app.patchnet.evidence import RemovalRule, flip_set, sufficient_set, summarize
from app.patchnet.grid import Lattice, cut_patches, shift_origins
from app.patchnet.saliency import Border, MapKind, patch_grid, scale_evidence, shift_averaged_map
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
    """What to explain: columns of findings, raw or scaled, and the offset in pixels (None: the plain grid)."""

    findings: tuple[int, ...]
    map: MapKind = "raw"
    offset: int | None = None
    border: Border = "coverage"


class Explainer:
    """Turns bytes into explanations; bounds how many smooth maps are computed at once."""

    def __init__(self, predictor: Predictor, *, max_passes: int, max_concurrent: int, chunk_patches: int) -> None:
        """Make an explainer.

        Args:
            predictor: does the first pass.
            max_passes: most passes, (p / offset)², of one map.
            max_concurrent: most smooth maps at once; more are refused with QueueFull.
            chunk_patches: patches handed to the scheduler at a time.
        """
        self._predictor = predictor
        self._max_passes = max_passes
        self._free_maps = max_concurrent
        self._chunk_patches = chunk_patches

    def lattice(self, model: ServedModel, offset: int | None) -> Lattice:
        """The lattice for an offset. Raises InvalidQuery where it is out of range or costs too many passes."""
        manifest = model.manifest
        try:
            lattice = Lattice.regular(manifest.image_size, manifest.patch_size, offset or manifest.patch_size)
        except ValueError as error:
            raise InvalidQuery(str(error)) from None
        if lattice.passes > self._max_passes:
            raise InvalidQuery(
                f"offset {lattice.offset} needs {lattice.passes} passes; at most {self._max_passes} are allowed here"
            )
        return lattice

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
        lattice = self.lattice(model, request.offset)
        if not lattice.is_plain and not self._free_maps:
            raise QueueFull("as many smooth maps are being computed as are allowed; try again shortly")
        self._free_maps -= not lattice.is_plain
        try:
            prediction, image = await self._predictor.predict(data, model, deadline, watch)
            field = (
                None
                if lattice.is_plain
                else await self._classify(image.tensor, lattice, model, deadline, watch, on_progress)
            )
        finally:
            self._free_maps += not lattice.is_plain
        items = await asyncio.to_thread(_lay_out, prediction, request, lattice, field)
        return Explanations(prediction, request.map, lattice.offset, request.border, items)

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
        origins = shift_origins(lattice.image_size, lattice.patch_size, lattice.offset)
        chunks: tuple[Tensor, ...] = torch.split(origins, self._chunk_patches)
        turn = asyncio.Semaphore(_CHUNKS_IN_FLIGHT)

        async def classify(chunk: Tensor) -> Tensor:
            async with turn:
                patches = await asyncio.to_thread(cut_patches, image, lattice.patch_size, chunk)
                inference = await model.scheduler.submit(patches, deadline, Lane.BACKGROUND)
            watch.record("queue", inference.queue_seconds)
            watch.record("inference", inference.inference_seconds)
            if on_progress is not None:
                on_progress(len(chunk), len(origins))
            return inference.logits

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(classify(chunk)) for chunk in chunks]
        except ExceptionGroup as failures:  # the first chunk to fail cancels the others; its error is the answer
            raise failures.exceptions[0] from None
        return torch.cat([task.result() for task in tasks])


def _lay_out(
    prediction: Prediction, request: MapRequest, lattice: Lattice, field: Tensor | None
) -> tuple[Explanation, ...]:
    columns = list(request.findings)
    patch_logits = prediction.patch_logits[:, columns]  # [P², K]
    probabilities = patch_logits.double().mean(dim=0).sigmoid().float()
    drawn = scale_evidence(patch_logits, probabilities) if request.map == "scaled" else patch_logits
    grids = patch_grid(drawn[None])[0]  # [K, P, P]
    smooth: list[Tensor] | None = None
    if field is not None:
        evidence = field[:, columns]
        evidence = scale_evidence(evidence, probabilities) if request.map == "scaled" else evidence
        smooth = list(shift_averaged_map(evidence, lattice, request.border))  # K × [S, S]
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
