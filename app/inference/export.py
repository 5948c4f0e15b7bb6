"""Export of models from torch to OpenVINO at load, with a cache on disk for the next start.

A cached export is a folder, named by its inputs, with the digests of its files. It is written atomically, so processes
can start at the same time; a damaged one is exported again.
"""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
import openvino as ov
import torch
from torch import Tensor, nn

from app.files import sha256_of
from app.inference.probe import probe_patches
from app.patchnet.openvino import convert, core
from app.telemetry import get_logger

_MODEL, _WEIGHTS, _ANSWERS, _DIGESTS = "model.xml", "model.bin", "answers.npy", "digests.json"
_FORM = 2  # of the export; older versions keep theirs apart


@dataclass(frozen=True)
class Export:
    """A model of static shape [n, 1, p, p], and torch's logits of ``probe_patches``: [4, C] float32."""

    model: ov.Model
    answers: npt.NDArray[np.float32]


def exported(backbone: Callable[[], nn.Module], patch_size: int, chunk: int, key: str, cache: Path | None) -> Export:
    """Export the backbone for inputs [chunk, 1, p, p], or read it from the cache without building the backbone.

    ``key`` identifies the weights, such as their SHA-256. Without a usable ``cache`` nothing is stored.
    """
    if cache is None:
        return export(backbone(), patch_size, chunk)
    folder = cache / f"openvino-{_FORM}-{ov.get_version().split('-')[0]}-{key[:32]}-{chunk}x{patch_size}"
    kept = read(folder)
    if kept is not None:
        return kept
    fresh = export(backbone(), patch_size, chunk)
    try:
        keep(fresh, folder)
    except OSError as error:
        get_logger().warning("export_not_kept", reason=error.strerror)
    return fresh


def export(backbone: nn.Module, patch_size: int, chunk: int) -> Export:
    """Convert a torch module [N, 1, p, p] → [N, C] to an OpenVINO model of static shape in float32."""
    model = convert(backbone, patch_size, chunk)
    with torch.no_grad():
        answers: Tensor = backbone(probe_patches(patch_size))
    return Export(model, answers.numpy())


def read(folder: Path) -> Export | None:
    """Read a cached export; None where it does not exist or is damaged. A damaged one is removed."""
    try:
        digests = json.loads((folder / _DIGESTS).read_bytes())
        whole = digests == {name: sha256_of(folder / name) for name in (_MODEL, _WEIGHTS, _ANSWERS)}
    except FileNotFoundError:
        whole = False
    except (OSError, ValueError):
        whole = False
    if whole:
        return Export(core().read_model(folder / _MODEL), np.load(folder / _ANSWERS, allow_pickle=False))
    if folder.exists():
        get_logger().warning("export_damaged")
        shutil.rmtree(folder, ignore_errors=True)
    return None


def keep(export: Export, folder: Path) -> None:
    """Write an export atomically; an existing one of another process is kept. Raises OSError."""
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with TemporaryDirectory(dir=folder.parent, prefix=".new-") as name:
        fresh = Path(name) / "export"
        fresh.mkdir()
        try:
            ov.save_model(export.model, fresh / _MODEL, compress_to_fp16=False)
        except RuntimeError as error:
            raise OSError(0, "OpenVINO could not write the export") from error
        np.save(fresh / _ANSWERS, export.answers)
        digests = {part: sha256_of(fresh / part) for part in (_MODEL, _WEIGHTS, _ANSWERS)}
        (fresh / _DIGESTS).write_text(json.dumps(digests), encoding="utf-8")
        try:
            os.rename(fresh, folder)
        except OSError:
            if not folder.exists():
                raise
