"""The segmenter of the process: loaded when zones are first requested, on the engines of the models."""

from collections.abc import Callable

from app.anatomy import artifact
from app.inference.choice import EngineOptions, make_engines
from app.inference.scheduler import Scheduler
from app.service.anatomy.reader import LoadedSegmenter
from app.settings import Settings
from app.telemetry import Metrics

_IMAGES_OF_ONE_RADIOGRAPH = 2  # itself and its mirror image


def segmenter_loader(settings: Settings, device: str, metrics: Metrics) -> Callable[[], LoadedSegmenter | None]:
    """A function that loads the configured segmenter and starts its scheduler; it returns None where none is installed.

    It raises ArtifactError for a damaged artifact.
    """

    def load() -> LoadedSegmenter | None:
        directory = artifact.find(settings.segmenter, settings.models_dir)
        if directory is None:
            return None
        stored = artifact.read(directory)
        options = EngineOptions(
            device=device,
            engine=settings.engine,
            threads=settings.inference_threads,
            smallest=_IMAGES_OF_ONE_RADIOGRAPH,
            largest=_IMAGES_OF_ONE_RADIOGRAPH,
            chunk=_IMAGES_OF_ONE_RADIOGRAPH,
            key=stored.manifest.weights_sha256,
            cache=settings.exports_dir,
        )
        scheduler = Scheduler(
            make_engines(stored.network, stored.manifest.image_size, options),
            batch_patches=_IMAGES_OF_ONE_RADIOGRAPH,
            map_patches=_IMAGES_OF_ONE_RADIOGRAPH,
            batch_wait_s=0,
            queue_patches=_IMAGES_OF_ONE_RADIOGRAPH * settings.max_in_flight,
            on_batch=lambda _: None,
            on_fault=lambda fault: metrics.inference_faults.labels(fault).inc(),
        )
        scheduler.start()
        return LoadedSegmenter(stored.manifest, scheduler)

    return load
