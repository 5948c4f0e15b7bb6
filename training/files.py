"""Files of training: validated YAML, checkpoints written atomically, cached arrays."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from pydantic import BaseModel, ValidationError

from app.errors import ConfigurationError
from app.files import write_atomically
from app.validation import describe
from app.yaml_files import read_yaml

Model = TypeVar("Model", bound=BaseModel)


def read_model(path: Path, model: type[Model]) -> Model:
    """The validated content of a YAML file. Raises ConfigurationError with the reason."""
    try:
        return model.model_validate(read_yaml(path))
    except ValidationError as error:
        raise ConfigurationError(f"{path}: {'; '.join(describe(error))}") from None


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
