"""Which engine serves a network: what was asked for, or what is fastest with the same answers."""

from pathlib import Path

import torch
from torch import nn

from app.errors import ConfigurationError
from app.inference.engine import Engine, TorchEngine
from app.inference.export import exported
from app.inference.openvino_engine import OpenVinoEngine, chunk_of
from app.settings import DevicePreference, EnginePreference
from app.telemetry import get_logger

_TOLERANCE = 5e-3


def choose_device(preference: DevicePreference) -> str:
    """``cpu`` or ``cuda``. Raises ConfigurationError where CUDA is asked for and there is none."""
    if preference == "cpu":
        return "cpu"
    if torch.cuda.is_available():
        return "cuda"
    if preference == "cuda":
        raise ConfigurationError("device 'cuda' was asked for, but no CUDA device is usable; use 'auto' or 'cpu'")
    return "cpu"


def make_engine(
    backbone: nn.Module,
    patch_size: int,
    *,
    device: str,
    preference: EnginePreference = "auto",
    threads: int = 0,
    key: str = "",
    cache: Path | None = None,
) -> Engine:
    """An engine for a backbone on a device chosen by ``choose_device``.

    ``auto`` takes OpenVINO on the CPU, unless its answers on a test pattern are not torch's (5e-3 in logits), and
    torch on CUDA. ``key`` and ``cache`` are those of ``exported``. Raises ConfigurationError where OpenVINO is asked
    for and cannot serve.
    """
    if preference == "torch" or (preference == "auto" and device != "cpu"):
        return TorchEngine(backbone, device, threads)
    if device != "cpu":
        raise ConfigurationError("the engine 'openvino' runs on the CPU; set the device to 'cpu', or the engine 'auto'")
    try:
        engine = OpenVinoEngine(exported(backbone, patch_size, chunk_of(patch_size), key, cache), threads)
        difference = _difference(engine, TorchEngine(backbone, "cpu", threads), patch_size)
        reason = None if difference <= _TOLERANCE else f"its answers differ from torch's by {difference:.3g}"
    except RuntimeError as error:  # what torch.export and OpenVINO raise for a network they cannot take
        engine, reason = None, f"it cannot take this network ({type(error).__name__})"
    if engine is not None and reason is None:
        return engine
    if preference == "openvino":
        raise ConfigurationError(f"the engine 'openvino' cannot serve this model: {reason}; use 'auto' or 'torch'")
    get_logger().warning("openvino_not_used", reason=reason)
    return TorchEngine(backbone, device, threads)


def _difference(one: Engine, other: Engine, patch_size: int) -> float:
    """Largest difference of logits on four patches of noise and ramps."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(4, 1, patch_size, patch_size, generator=generator)
    patterns = noise * torch.linspace(0, 1, 4)[:, None, None, None] + torch.linspace(0, 0.5, patch_size)
    patterns = patterns.clamp(0, 1)
    return float((one.patch_logits(patterns) - other.patch_logits(patterns)).abs().max())
