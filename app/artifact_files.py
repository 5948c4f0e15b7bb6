"""The files of an artifact: a manifest in JSON, weights with their hash in it, and a card. Nothing is unpickled."""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol, TypeVar

from pydantic import BaseModel, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as dump_tensors
from torch import Tensor

from app.errors import ArtifactError
from app.files import replace_folder, write_atomically
from app.validation import describe

WEIGHTS, CARD = "model.safetensors", "MODEL_CARD.md"

M = TypeVar("M", bound=BaseModel)


def read_json(path: Path, kind: type[M]) -> M:
    """A validated manifest. Raises ArtifactError where it is missing, damaged, or of another version."""
    try:
        return kind.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror}") from None
    except ValidationError as error:
        raise ArtifactError(f"{path} does not fit this version: {'; '.join(describe(error))}") from None


def read_weights(directory: Path, sha256: str) -> dict[str, Tensor]:
    """The tensors of an artifact. Raises ArtifactError where their hash is another, or they cannot be read."""
    path = directory / WEIGHTS
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror}") from None
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ArtifactError(f"{path} does not match its manifest: the sha256 differs")
    try:
        return load_tensors(content)
    except SafetensorError:
        raise ArtifactError(f"{path} is not a safetensors file") from None


def encoded(state: Mapping[str, Tensor]) -> tuple[bytes, str]:
    """Tensors as the content of a weights file, and its SHA-256 in hexadecimal."""
    content = dump_tensors({key: value.detach().cpu().contiguous() for key, value in state.items()})
    return content, hashlib.sha256(content).hexdigest()


def as_json(manifest: BaseModel) -> bytes:
    """A manifest as the content of its file."""
    return (json.dumps(manifest.model_dump(mode="json"), indent=1) + "\n").encode()


def write(directory: Path, files: Mapping[str, bytes], verify: Callable[[Path], object]) -> None:
    """Write the files of an artifact, which ``verify`` then reads; all or nothing. Replaces an existing artifact.

    Raises ArtifactError where they cannot be written, and what ``verify`` raises.
    """
    try:
        with replace_folder(directory) as fresh:
            for name, content in files.items():
                (fresh / name).write_bytes(content)
            verify(fresh)
    except OSError as error:
        raise ArtifactError(f"{directory} cannot be written: {error.strerror}") from None


class OfWeights(Protocol):
    """A manifest: it names the weights that it belongs to."""

    @property
    def weights_sha256(self) -> str:
        """Their SHA-256 in hexadecimal."""
        ...


def amend(directory: Path, old: OfWeights, new: OfWeights, files: Mapping[str, bytes]) -> None:
    """Replace files of an artifact, each atomically; ``old`` and ``new`` are its manifests before and after.

    Raises ArtifactError where the new manifest belongs to other weights.
    """
    if new.weights_sha256 != old.weights_sha256:
        raise ArtifactError(f"{directory} holds other weights than those of the new manifest")
    for name, content in files.items():
        with write_atomically(directory / name) as fresh:
            fresh.write_bytes(content)
