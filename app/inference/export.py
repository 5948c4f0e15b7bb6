"""Networks in OpenVINO's form: made from torch at load, and kept on disk for the next start.

A kept export lies in a folder of its own, named for what it was made of, with the digests of its files. It appears
whole or not at all, so processes may start side by side; a damaged one is made again.
"""

import hashlib
import json
import logging
import os
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import openvino as ov
import torch
from openvino.frontend import FrontEndManager
from openvino.frontend.pytorch.fx_decoder import TorchFXPythonDecoder
from torch import nn

from app.telemetry import get_logger

_MODEL, _WEIGHTS, _DIGESTS = "model.xml", "model.bin", "digests.json"
_FORM = 1  # of the export; a new one is not mixed up with those kept by older versions


def exported(backbone: nn.Module, patch_size: int, chunk: int, key: str, cache: Path | None) -> ov.Model:
    """The backbone for inputs [chunk, 1, p, p], from the cache where it is there.

    ``key`` stands for the backbone's weights, such as their SHA-256. Without a usable ``cache`` nothing is kept.
    """
    if cache is None:
        return export(backbone, patch_size, chunk)
    folder = cache / f"openvino-{_FORM}-{ov.get_version().split('-')[0]}-{key[:32]}-{chunk}x{patch_size}"
    kept = read(folder)
    if kept is not None:
        return kept
    model = export(backbone, patch_size, chunk)
    try:
        keep(model, folder)
    except OSError as error:
        get_logger().warning("export_not_kept", reason=error.strerror)
    return model


def export(backbone: nn.Module, patch_size: int, chunk: int) -> ov.Model:
    """A torch module [N, 1, p, p] → [N, C] as an OpenVINO model of static shape, float32."""
    example = torch.zeros(chunk, 1, patch_size, patch_size)
    with torch.no_grad(), _quiet():
        program = torch.export.export(backbone.eval(), (example,))
        decoder = TorchFXPythonDecoder.from_exported_program(program)
        frontend = FrontEndManager().load_by_framework("pytorch")
        model: ov.Model = frontend.convert(frontend.load(decoder))
    model.reshape([chunk, 1, patch_size, patch_size])
    return model


def read(folder: Path) -> ov.Model | None:
    """A kept export, or None where there is none or a byte of it changed; a damaged one is removed."""
    try:
        digests = json.loads((folder / _DIGESTS).read_bytes())
        whole = digests == {name: _digest(folder / name) for name in (_MODEL, _WEIGHTS)}
    except FileNotFoundError:
        whole = False
    except (OSError, ValueError):
        whole = False
    if whole:
        return ov.Core().read_model(folder / _MODEL)
    if folder.exists():
        get_logger().warning("export_damaged")
        shutil.rmtree(folder, ignore_errors=True)
    return None


def keep(model: ov.Model, folder: Path) -> None:
    """Write an export, whole or not at all; where another process was first, its copy stays. Raises OSError."""
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with TemporaryDirectory(dir=folder.parent, prefix=".new-") as name:
        fresh = Path(name) / "export"
        fresh.mkdir()
        try:
            ov.save_model(model, fresh / _MODEL, compress_to_fp16=False)
        except RuntimeError as error:
            raise OSError(0, "OpenVINO could not write the export") from error
        digests = {part: _digest(fresh / part) for part in (_MODEL, _WEIGHTS)}
        (fresh / _DIGESTS).write_text(json.dumps(digests), encoding="utf-8")
        try:
            os.rename(fresh, folder)
        except OSError:
            if not folder.exists():
                raise


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


class _quiet(logging.Filter):  # noqa: N801 - reads as what it does: with _quiet()
    """Drops what the converter says about operations that no network here has."""

    def filter(self, record: logging.LogRecord) -> bool:
        return "not found in decomp table" not in record.getMessage()

    def __enter__(self) -> None:
        logging.getLogger().addFilter(self)

    def __exit__(self, *_: object) -> None:
        logging.getLogger().removeFilter(self)
