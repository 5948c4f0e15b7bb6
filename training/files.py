"""Atomic writing of checkpoints."""

import os
from pathlib import Path
from typing import Any

import torch


def save_atomically(content: dict[str, Any], path: Path) -> None:
    """``torch.save`` to ``path``; the file is complete or absent."""
    fresh = path.with_suffix(".new")
    torch.save(content, fresh)
    os.replace(fresh, path)
