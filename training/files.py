"""Atomic writing of checkpoints."""

from pathlib import Path
from typing import Any

import torch

from app.files import write_atomically


def save_atomically(content: dict[str, Any], path: Path) -> None:
    """``torch.save``; the file is complete or absent."""
    with write_atomically(path) as fresh:
        torch.save(content, fresh)
