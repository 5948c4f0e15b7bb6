"""The shadow model: analyses what the default model has analysed, while nothing else is being analysed."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from time import monotonic

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.errors import MedPatchNetError
from app.inference.items import Lane
from app.patchnet.model import global_logits, split_patches
from app.patchnet.preprocessing import to_model_image
from app.service.decisions import scores
from app.service.models import ServedModel
from app.service.results import Prediction
from app.shadow.comparison import Comparison
from app.telemetry import ShadowMetrics, ShadowOutcome, error_places, get_logger

_CHUNK_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Analysed:
    """A radiograph, pixels [H, W] float32, and the global logits [C] float64 of the default model."""

    pixels: NDArray[np.float32]
    logits: Tensor


class Shadow:
    """Compares a second model with the default one. Used on the event loop only.

    Analyses of the default model are offered without waiting; a full queue drops them. One at a time is analysed again,
    in chunks of patches, each of which waits until no other analysis is in progress. No error leaves this class.
    """

    def __init__(
        self,
        served: ServedModel,
        model: ServedModel,
        idle: Callable[[], Awaitable[None]],
        metrics: ShadowMetrics,
        *,
        capacity: int,
        since: datetime,
    ) -> None:
        """Make a shadow; ``run`` does its work.

        Args:
            served: the default model.
            model: the shadow model; its scheduler runs.
            idle: returns when no analysis is in progress.
            metrics: counts the outcomes and the differences.
            capacity: maximum number of waiting radiographs.
            since: time of the start, for the report.
        """
        self.served = served
        self.model = model
        self.since = since
        self.comparison = Comparison(metrics)
        self.radiographs: dict[ShadowOutcome, int] = {"compared": 0, "dropped": 0, "failed": 0}
        self._idle = idle
        self._metrics = metrics
        self._waiting: asyncio.Queue[Analysed] = asyncio.Queue(capacity)

    @property
    def waiting(self) -> int:
        """Number of waiting radiographs."""
        return self._waiting.qsize()

    def offer(self, prediction: Prediction) -> None:
        """Have a prediction of the default model compared, or drop it if the queue is full. Does not wait."""
        if prediction.model.manifest is not self.served.manifest:
            return
        if self._waiting.full():
            self._count("dropped")
            return
        logits = global_logits(prediction.patch_logits[None].double())[0]
        self._waiting.put_nowait(Analysed(prediction.radiograph.pixels, logits))

    async def run(self) -> None:
        """Compare what was offered, until cancelled."""
        while True:
            analysed = await self._waiting.get()
            try:
                await self._compare(analysed)
            except MedPatchNetError:  # the scheduler logs why a call failed
                self._count("failed")
            except Exception as error:  # noqa: BLE001 - the shadow never ends; a message can quote the image
                self._count("failed")
                get_logger().error("shadow_failed", error=type(error).__name__, at=error_places(error))
            else:
                self._count("compared")
            del analysed  # its pixels are not needed while the queue is empty

    async def _compare(self, analysed: Analysed) -> None:
        await self._idle()
        manifest = self.model.manifest
        image = await asyncio.to_thread(to_model_image, analysed.pixels, manifest.image_size)
        patches = split_patches(image.tensor[None], manifest.patch_size)
        logits: list[Tensor] = []
        for chunk in patches.split(self.model.scheduler.batch_patches):
            await self._idle()
            deadline = monotonic() + _CHUNK_TIMEOUT_S
            logits.append((await self.model.scheduler.submit(chunk, deadline, Lane.BACKGROUND)).logits)
        shadow = global_logits(torch.cat(logits)[None].double())[0]
        self.comparison.add(scores(self.served, analysed.logits), scores(self.model, shadow))

    def _count(self, outcome: ShadowOutcome) -> None:
        self.radiographs[outcome] += 1
        self._metrics.radiographs.labels(outcome).inc()
