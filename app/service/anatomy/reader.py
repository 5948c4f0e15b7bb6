"""The anatomy of an image: lungs, heart and zones. The segmenter is loaded and runs only when zones are requested."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor

from app.anatomy.artifact import SegmenterManifest
from app.anatomy.heart_size import HeartSize, heart_size
from app.anatomy.masks import SIDE, Masks, masks_of, segmenter_input
from app.anatomy.quality import Reason, reasons_against
from app.anatomy.zones import ZoneMap, zone_map
from app.errors import InvalidQuery
from app.inference.items import Lane
from app.inference.scheduler import Scheduler
from app.patchnet.preprocessing import CropGeometry, ModelImage, resize_square
from app.telemetry import Stopwatch


@dataclass(frozen=True)
class LoadedSegmenter:
    """A segmenter with its running scheduler, in which an image is one patch."""

    manifest: SegmenterManifest
    scheduler: Scheduler


@dataclass(frozen=True)
class Anatomy:
    """The anatomy of one image: masks, zones, the size of its heart, and why none of them can be trusted.

    ``heart`` is None where the masks cannot be trusted. ``outside_film`` is the share of the radiograph outside the
    analysed square.
    """

    segmenter: SegmenterManifest
    masks: Masks
    zones: ZoneMap
    heart: HeartSize | None
    reasons: tuple[Reason, ...]
    outside_film: float

    @property
    def is_trusted(self) -> bool:
        """Whether nothing speaks against the masks."""
        return not self.reasons


class AnatomyReader:
    """Segments images; loads the segmenter on first use, so that a service that is not asked for zones pays nothing."""

    def __init__(self, load: Callable[[], LoadedSegmenter | None]) -> None:
        """``load`` returns a segmenter whose scheduler runs, or None where none is installed."""
        self._load = load
        self._loaded: LoadedSegmenter | None = None
        self._loading = asyncio.Lock()

    async def is_installed(self) -> bool:
        """Whether there is a segmenter; loads it. Raises ArtifactError for a damaged one."""
        return await self._segmenter() is not None

    async def read(self, image: Tensor, geometry: CropGeometry, deadline: float, watch: Stopwatch) -> Anatomy:
        """The anatomy of a model image [1, S, S]. ``deadline`` is on the ``time.monotonic`` clock.

        Raises InvalidQuery where no segmenter is installed, and the errors of inference.
        """
        segmenter = await self._segmenter()
        if segmenter is None:
            raise InvalidQuery("zones and segmentations need a segmenter; none is installed in the models folder")
        inputs = segmenter_input(image, segmenter.manifest.image_size)
        inference = await segmenter.scheduler.submit(inputs, deadline, Lane.FOREGROUND)
        watch.record("queue", inference.queue_seconds, ended_s_ago=inference.inference_seconds)
        watch.record("inference", inference.inference_seconds)
        return await asyncio.to_thread(_anatomy, segmenter.manifest, inference.logits, image, geometry)

    def close(self) -> None:
        """Finish accepted work and stop the scheduler. Idempotent."""
        if self._loaded is not None:
            self._loaded.scheduler.close()

    async def _segmenter(self) -> LoadedSegmenter | None:
        async with self._loading:
            if self._loaded is None:
                self._loaded = await asyncio.to_thread(self._load)
        return self._loaded


@dataclass
class PendingAnatomy:
    """The anatomy of one image, read when it is first needed, and once.

    ``deadline`` is on the ``time.monotonic`` clock.
    """

    reader: AnatomyReader
    image: ModelImage
    deadline: float
    watch: Stopwatch
    _found: Anatomy | None = field(default=None, init=False)

    async def get(self) -> Anatomy:
        """The anatomy. Raises the errors of ``AnatomyReader.read``."""
        if self._found is None:
            self._found = await self.reader.read(self.image.tensor, self.image.geometry, self.deadline, self.watch)
        return self._found


def _anatomy(manifest: SegmenterManifest, logits: Tensor, image: Tensor, geometry: CropGeometry) -> Anatomy:
    masks = masks_of(logits, manifest.image_size)
    reasons = reasons_against(masks)
    return Anatomy(
        segmenter=manifest,
        masks=masks,
        zones=zone_map(masks, resize_square(image, SIDE)[0].numpy()),
        heart=None if reasons else heart_size(masks),
        reasons=reasons,
        outside_film=geometry.outside_share,
    )
