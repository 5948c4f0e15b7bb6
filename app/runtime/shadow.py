"""The shadow part of the composition root: a second model beside the default one."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from app.runtime.models import Execution, make_model, read_allowed, warm_up
from app.runtime.tasks import cancel
from app.service.models import ServedModel
from app.service.services import Services
from app.settings import Settings
from app.shadow.shadow import Shadow
from app.telemetry import ShadowMetrics

_THREADS = 1  # of OpenVINO; the default model has all cores
_PARTS = 2  # of a radiograph, one model call each: an analysis that arrives shares the machine with one of them


@asynccontextmanager
async def open_shadow(settings: Settings, services: Services) -> AsyncGenerator[Shadow | None]:
    """Run the shadow model if one is configured, else yield None; on leaving, drop what waits for it.

    Raises ArtifactError and ConfigurationError.
    """
    if not settings.shadow_model:
        yield None
        return
    served = services.models.get()
    metrics = ShadowMetrics(services.metrics)
    model = load_shadow(settings, served.device, metrics)
    predictor = services.predictor
    shadow = Shadow(served, model, predictor.idle, metrics, capacity=settings.shadow_queue, since=datetime.now(UTC))
    services.metrics.follow(metrics.waiting, lambda: shadow.waiting)
    predictor.watch(shadow.offer)
    model.scheduler.start()
    task = asyncio.create_task(shadow.run())
    try:
        yield shadow
    finally:
        await cancel(task)
        model.scheduler.close()


def load_shadow(settings: Settings, device: str, metrics: ShadowMetrics) -> ServedModel:
    """The shadow model, warmed up. Its faults do not count as those of the served models."""
    stored = read_allowed(settings.shadow_model, settings)
    manifest = stored.manifest
    execution = Execution(
        device=device,
        threads=_THREADS,
        batch_patches=max(1, manifest.patches_per_side**2 // _PARTS),
        on_batch=lambda _: None,
        on_fault=lambda _: None,
    )
    model = make_model(stored, execution, settings)
    warm_up(model)
    metrics.model.labels(manifest.name, manifest.version, manifest.weights_sha256, device).set(1)
    return model
