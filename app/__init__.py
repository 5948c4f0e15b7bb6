"""Chest X-ray findings with exact, additive evidence, served over HTTP; ``load`` is the same in Python."""

import sys
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from app.predictor import load as load

# With this package, which pip installs, every import of OpenVINO is reported to Google Analytics; None: not importable.
sys.modules["openvino_telemetry"] = None  # pyright: ignore[reportArgumentType] - see importlib's docs

__version__ = version("medpatchnet")


def __getattr__(name: str) -> Any:  # noqa: ANN401 - ``load`` on first use, so that importing a submodule stays cheap
    if name == "load":
        return import_module("app.predictor").load
    raise AttributeError(f"module 'app' has no attribute '{name}'")
