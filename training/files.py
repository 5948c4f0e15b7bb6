"""Atomic writing of checkpoints, and arrays cached in files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from app.files import write_atomically


def save_atomically(content: dict[str, Any], path: Path) -> None:
    """``torch.save`` to ``path``; the file is complete or absent."""
    with write_atomically(path) as fresh:
        torch.save(content, fresh)


def cached(path: Path, measure: Callable[[], np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    """An array from its file, which is measured and written if it is missing."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        save_atomically({"figures": torch.from_numpy(measure())}, path)
    figures: np.ndarray[Any, Any] = torch.load(path, weights_only=True)["figures"].numpy()
    return figures
