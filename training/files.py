"""Files of training: validated YAML, checkpoints written atomically, cached arrays."""

from collections.abc import Callable, Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, get_args

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
        raise ConfigurationError(f"{path}: {'; '.join([*describe(error), *_suggestions(error, model)])}") from None


def _suggestions(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """For every unknown field of a file, the field that it resembles."""
    known = {name for nested in _nested(model) for name in nested.model_fields}
    unknown = [str(problem["loc"][-1]) for problem in error.errors() if problem["type"] == "extra_forbidden"]
    near = [(name, get_close_matches(name, known, 1)) for name in unknown]
    return [f"did you mean '{found[0]}' instead of '{name}'?" for name, found in near if found]


def _nested(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """A model and those of its fields, at any depth."""
    yield model
    for field in model.model_fields.values():
        for part in (field.annotation, *get_args(field.annotation)):
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from _nested(part)


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
