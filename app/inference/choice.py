"""Choose the engines of a model: the configured ones, or the fastest whose results match those of torch."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from app.errors import ConfigurationError
from app.inference.cuda_engine import CudaEngine
from app.inference.engine import Engine, Precision, TorchEngine
from app.inference.probe import probe_patches
from app.settings import DevicePreference, EnginePreference
from app.telemetry import get_logger

TOLERANCE: dict[Precision, float] = {"float32": 5e-3, "bfloat16": 0.5, "float16": 0.1}
"""Largest difference of logits, on patches of noise, that rounding explains; another model differs far more."""


@dataclass(frozen=True)
class EngineOptions:
    """Options of the engines of a model.

    ``threads`` are those of OpenVINO; 0 uses all cores. ``chunk`` is the size of a request of OpenVINO, in patches; 0:
    chosen by the size of a patch. ``smallest`` and ``largest`` are the patches of one image and of the largest batch.
    ``key`` and ``cache`` are those of ``exported``.
    """

    device: str = "cpu"
    engine: EnginePreference = "auto"
    precision: Precision = "float32"
    threads: int = 0
    smallest: int = 64
    largest: int = 512
    chunk: int = 0
    key: str = ""
    cache: Path | None = None


def choose_device(preference: DevicePreference) -> str:
    """``cpu`` or ``cuda``. Raises ConfigurationError where CUDA is requested but not available."""
    if preference == "cpu":
        return "cpu"
    if torch.cuda.is_available():
        return "cuda"
    if preference == "cuda":
        raise ConfigurationError("device 'cuda' is configured, but no CUDA device is available; use 'auto' or 'cpu'")
    return "cpu"


def make_engines(backbone: Callable[[], nn.Module], patch_size: int, wanted: EngineOptions) -> list[Engine]:
    """Make one engine on every visible CUDA device; on the CPU one engine, or two of OpenVINO.

    Those two share the compiled model: while one waits for its last chunk or returns results, the chunks of the other
    run. ``backbone`` builds the backbone; it is not called where a cached export is usable. ``auto`` takes OpenVINO on
    the CPU and captured graphs on CUDA; it falls back to plain torch where these do not support the model or their
    logits of a test pattern differ from torch's. Raises ConfigurationError where the configured engine or precision is
    not usable.
    """
    if wanted.device == "cpu":
        return _on_cpu(backbone, patch_size, wanted)
    if wanted.engine == "openvino":
        raise ConfigurationError("the engine 'openvino' runs on the CPU; set the device to 'cpu', or the engine 'auto'")
    built = backbone()
    return [_on_cuda(built, patch_size, wanted, index) for index in range(torch.cuda.device_count())]


def _on_cpu(backbone: Callable[[], nn.Module], patch_size: int, wanted: EngineOptions) -> list[Engine]:
    if wanted.engine != "torch":
        engines, reason = _of_openvino(backbone, patch_size, wanted)
        if reason is None:
            return engines
        if wanted.engine == "openvino":
            raise ConfigurationError(f"the engine 'openvino' cannot serve this model: {reason}; use 'auto' or 'torch'")
        get_logger().warning("openvino_not_used", reason=reason)
    return [TorchEngine(backbone(), "cpu", wanted.precision)]


def _of_openvino(
    backbone: Callable[[], nn.Module], patch_size: int, wanted: EngineOptions
) -> tuple[list[Engine], str | None]:
    """Two engines, or none and why."""
    try:
        # Loaded here: a machine with a GPU does not need OpenVINO.
        from app.inference.export import exported  # noqa: PLC0415
        from app.inference.openvino_engine import OpenVinoEngine, chunk_of  # noqa: PLC0415
    except ModuleNotFoundError:
        return [], "OpenVINO is not installed"
    try:
        export = exported(backbone, patch_size, wanted.chunk or chunk_of(patch_size), wanted.key, wanted.cache)
        engine = OpenVinoEngine(export.model, wanted.threads, wanted.precision)
        reason = _mismatch(engine, torch.from_numpy(export.answers), patch_size)
    except RuntimeError as error:  # what torch.export and OpenVINO raise for an unsupported model
        return [], f"it does not support this model ({type(error).__name__})"
    return ([], reason) if reason else ([engine, engine.sibling()], None)


def _on_cuda(backbone: nn.Module, patch_size: int, wanted: EngineOptions, index: int) -> Engine:
    if wanted.engine == "auto":
        try:
            engine = CudaEngine(
                backbone,
                patch_size,
                index=index,
                smallest=wanted.smallest,
                largest=wanted.largest,
                precision=wanted.precision,
            )
            answers = TorchEngine(backbone, "cpu").patch_logits(probe_patches(patch_size))
            reason = _mismatch(engine, answers, patch_size)
        except RuntimeError as error:  # the model cannot be captured, or memory is too small
            engine, reason = None, f"it does not support this model ({type(error).__name__})"
        if engine is not None and reason is None:
            return engine
        get_logger().warning("cuda_graphs_not_used", reason=reason)
    return TorchEngine(backbone, f"cuda:{index}", wanted.precision)


def _mismatch(engine: Engine, answers: Tensor, patch_size: int) -> str | None:
    """How an engine's logits of ``probe_patches`` differ from torch's ``answers``, [4, C]; None within tolerance."""
    difference = _difference(engine.patch_logits(probe_patches(patch_size)), answers)
    fits = difference <= TOLERANCE[engine.precision]
    return None if fits else f"its logits differ from torch's by {difference:.3g}"


def _difference(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max())
