"""Writing checkpoints so that a file is complete or absent."""

import os
from pathlib import Path
from typing import Any

import torch


def save_atomically(content: dict[str, Any], path: Path) -> None:
    """``torch.save``, whole or not at all."""
    fresh = path.with_suffix(".new")
    torch.save(content, fresh)
    os.replace(fresh, path)
