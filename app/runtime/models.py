"""The models part of the composition root: artifacts with their engines and schedulers."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import torch

from app.errors import ArtifactError, ConfigurationError
from app.inference.choice import EngineOptions, make_engines
from app.inference.engine import Precision
from app.inference.scheduler import Scheduler
from app.patchnet import artifact
from app.patchnet.artifact import Stored
from app.patchnet.manifest import Manifest
from app.service.models import ModelRegistry, ServedModel
from app.service.operating_points import operating_points, read_site_points
from app.settings import PrecisionPreference, Settings
from app.telemetry import Fault, Metrics

MAP_CHUNK_IMAGES = {"cpu": 1, "cuda": 32}
"""Images in one model call of a map, by device: a prediction waits until the running call is done."""

_BATCH_IMAGES = {"cpu": 1, "cuda": 8}  # on a CPU, larger batches add latency and no throughput


@dataclass(frozen=True)
class Execution:
    """How a model runs: its device, CPU threads (0: all cores), patches in one call, and what counts its calls."""

    device: str
    threads: int
    batch_patches: int
    on_batch: Callable[[int], None]
    on_fault: Callable[[Fault], None]


def load_models(settings: Settings, device: str, metrics: Metrics) -> list[ServedModel]:
    """The models named in the settings, on a device. Raises ArtifactError and ConfigurationError."""
    if not settings.model_names:
        raise ConfigurationError("no model is configured; set MEDPATCHNET_MODEL or --model")
    models: list[ServedModel] = []
    for name in settings.model_names:
        stored = read_allowed(name, settings)
        manifest = stored.manifest
        execution = Execution(
            device=device,
            threads=settings.inference_threads,
            batch_patches=settings.batch_patches or manifest.patches_per_side**2 * _BATCH_IMAGES[device],
            on_batch=metrics.batch_images.observe,
            on_fault=lambda fault: metrics.inference_faults.labels(fault).inc(),
        )
        models.append(make_model(stored, execution, settings))
        metrics.model.labels(manifest.name, manifest.version, manifest.weights_sha256, device).set(1)
    return models


def read_allowed(name: str, settings: Settings) -> Stored:
    """The artifact of a name or folder. Raises ArtifactError, also for weights that the settings do not allow."""
    stored = artifact.read(artifact.find(name, settings.models_dir))
    if settings.pinned_weights and stored.manifest.weights_sha256 not in settings.pinned_weights:
        raise ArtifactError(f"MEDPATCHNET_MODEL_SHA256 does not allow the weights of '{name}'")
    return stored


def make_model(stored: Stored, execution: Execution, settings: Settings) -> ServedModel:
    """A model with a scheduler that is not started yet. Raises ConfigurationError."""
    manifest = stored.manifest
    one_image = manifest.patches_per_side**2
    options = EngineOptions(
        device=execution.device,
        engine=settings.engine,
        precision=choose_precision(settings.precision, manifest),
        threads=execution.threads,
        smallest=min(one_image, execution.batch_patches),
        largest=execution.batch_patches,
        key=manifest.weights_sha256,
        cache=settings.exports_dir,
    )
    scheduler = Scheduler(
        make_engines(lambda: stored.network().backbone, manifest.patch_size, options),
        batch_patches=execution.batch_patches,
        map_patches=one_image * MAP_CHUNK_IMAGES[execution.device],
        batch_wait_s=settings.batch_wait_s,
        queue_patches=settings.queue_patches,
        on_batch=execution.on_batch,
        on_fault=execution.on_fault,
    )
    site = None if settings.operating_points_file is None else read_site_points(settings.operating_points_file)
    points = operating_points(manifest, settings.operating_point, site)
    return ServedModel(manifest, scheduler, points, _card(stored.directory))


def choose_precision(preference: PrecisionPreference, manifest: Manifest) -> Precision:
    """Arithmetic of the model. Raises ConfigurationError for a precision that the manifest does not allow."""
    if preference in {"auto", "float32"}:
        return "float32"
    if preference not in manifest.allowed_precisions:
        allowed = ", ".join(("float32", *manifest.allowed_precisions))
        raise ConfigurationError(
            f"the manifest of '{manifest.name}' does not allow the precision '{preference}'; allowed are: {allowed}"
        )
    return preference


def start_models(models: list[ServedModel], stack: AsyncExitStack) -> ModelRegistry:
    """The models, warmed up and with running schedulers, which ``stack`` stops."""
    registry = ModelRegistry(models)
    for model in registry.all:
        warm_up(model)
        model.scheduler.start()
        stack.callback(model.scheduler.close)
    return registry


def warm_up(model: ServedModel) -> None:
    """Run every engine once with one image and once with a full batch, so that no request pays for initialization."""
    size = model.manifest.patch_size
    for replica in model.scheduler.replicas:
        for count in {model.manifest.patches_per_side**2, model.scheduler.batch_patches}:
            replica.engine.patch_logits(torch.zeros(count, 1, size, size))


def _card(directory: Path) -> str:
    path = directory / artifact.CARD
    return path.read_text(encoding="utf-8") if path.is_file() else ""
