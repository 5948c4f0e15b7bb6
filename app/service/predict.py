"""Predict: from bytes to a radiograph, its model image, patch logits and decisions."""

import asyncio
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from time import monotonic

from torch import Tensor

from app.audit import note_subject
from app.decoding.pool import DecodePool
from app.errors import DeadlineExceeded, ImageError
from app.imaging.frontal import frontal_warnings
from app.imaging.radiograph import ImageWarning, Radiograph
from app.patchnet.model import global_logits, split_patches
from app.patchnet.preprocessing import CropGeometry, ModelImage, to_model_image
from app.service import drift
from app.service.decisions import scores
from app.service.models import ServedModel
from app.service.results import Prediction
from app.telemetry import Metrics, Stopwatch


class Predictor:
    """Predicts images, concurrently. Used on one event loop; knows how many analyses are in progress."""

    def __init__(self, decoder: DecodePool, metrics: Metrics) -> None:
        self._decoder = decoder
        self._metrics = metrics
        self._observers: list[Callable[[Prediction], None]] = []
        self._in_progress = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def watch(self, observe: Callable[[Prediction], None]) -> None:
        """Have ``observe``, which must be quick and not raise, called with every prediction."""
        self._observers.append(observe)

    async def idle(self) -> None:
        """Return when no analysis is in progress."""
        while self._in_progress:
            await self._idle.wait()

    @contextmanager
    def analysing(self) -> Generator[None]:
        """Count the block as an analysis in progress."""
        self._in_progress += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._in_progress -= 1
            if not self._in_progress:
                self._idle.set()

    async def predict(
        self, data: bytes, model: ServedModel, deadline: float, watch: Stopwatch
    ) -> tuple[Prediction, ModelImage]:
        """Decode, preprocess and classify one image; returns the prediction and the model image.

        ``deadline`` is on the ``time.monotonic`` clock. Raises the domain errors of decoding and inference.
        """
        with self.analysing():
            return await self.classify(await self.decode(data, deadline, watch), model, deadline, watch)

    async def classify(
        self, radiograph: Radiograph, model: ServedModel, deadline: float, watch: Stopwatch
    ) -> tuple[Prediction, ModelImage]:
        """The second half of ``predict``, of a decoded radiograph; the caller counts it as ``analysing``."""
        note_subject(radiograph.facts.sop_instance_uid, f"{model.manifest.name}@{model.manifest.weights_sha256}")
        with watch.stage("preprocess"):
            image, warnings = await asyncio.to_thread(_prepare, radiograph, model.manifest.image_size)
        patches = split_patches(image.tensor[None], model.manifest.patch_size)
        inference = await model.scheduler.submit(patches, deadline)
        watch.record("queue", inference.queue_seconds, ended_s_ago=inference.inference_seconds)
        watch.record("inference", inference.inference_seconds)
        prediction = judge(model, replace(radiograph, warnings=warnings), image.geometry, inference.logits)
        drift.observe(self._metrics, prediction)
        for observe in self._observers:
            observe(prediction)
        return prediction, image

    async def decode(self, data: bytes, deadline: float, watch: Stopwatch) -> Radiograph:
        """Decode one image. ``deadline`` is on the ``time.monotonic`` clock. Raises the domain errors of decoding."""
        try:
            with watch.stage("decode"):
                async with asyncio.timeout(max(0.0, deadline - monotonic())):
                    return await self._decoder.decode(data)
        except TimeoutError:
            raise DeadlineExceeded("the deadline passed before the image was decoded") from None
        except ImageError as error:
            self._metrics.decode_failures.labels(error.transfer_syntax or "unknown", error.code).inc()
            raise


def _prepare(radiograph: Radiograph, image_size: int) -> tuple[ModelImage, tuple[ImageWarning, ...]]:
    warnings = radiograph.warnings + frontal_warnings(radiograph.pixels)
    return to_model_image(radiograph.pixels, image_size), warnings


def judge(model: ServedModel, radiograph: Radiograph, geometry: CropGeometry, patch_logits: Tensor) -> Prediction:
    """The decisions from patch logits [P², C]. The mean is in float64, so that served grids add up exactly."""
    logits = global_logits(patch_logits[None].double())[0]
    warnings = list(radiograph.warnings)
    if geometry.is_cropped:
        warnings.append(_cropped(geometry))
    return Prediction(model, radiograph, geometry, patch_logits, scores(model, logits), tuple(warnings))


def _cropped(geometry: CropGeometry) -> ImageWarning:
    axis = "top and bottom" if geometry.rows > geometry.columns else "left and right"
    lost = f"{geometry.outside_share:.0%} of the radiograph, {axis},"
    return ImageWarning("cropped", f"the model analyses the centred square; {lost} is outside it")
