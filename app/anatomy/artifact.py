"""The artifact of a segmenter: a folder of weights and their manifest, loaded strictly, as those of the models are.

Its manifest has a name of its own, so that no folder of a segmenter is taken for a model of findings.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, JsonValue, ValidationError, model_validator
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as dump_tensors
from torch import Tensor

from app.anatomy.segmenter import CLASSES, Segmenter
from app.errors import ArtifactError
from app.files import replace_folder, write_atomically
from app.patchnet.artifact import CARD, WEIGHTS
from app.patchnet.manifest import NAME_PATTERN, Sha256
from app.patchnet.preprocessing import PREPROCESSING
from app.validation import StrictModel, describe

MANIFEST = "segmenter.json"


class SegmenterDescription(StrictModel):
    """A segmenter's manifest without the hash of the weights: the input of ``save``."""

    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    version: str
    image_size: int = Field(gt=0, multiple_of=16)
    preprocessing: str = PREPROCESSING
    classes: tuple[str, ...] = CLASSES
    intended_use: str
    training_data: str
    attribution: str
    licence: str
    created: datetime
    recipe: dict[str, JsonValue] = Field(description="How the weights were trained.")
    metrics: dict[str, float] = Field(default_factory=dict[str, float], description="Figures, named by data set.")

    @model_validator(mode="after")
    def _fits_this_version(self) -> Self:
        if self.classes != CLASSES:
            raise ValueError(f"the classes must be exactly, and in this order: {', '.join(CLASSES)}")
        if self.preprocessing != PREPROCESSING:
            raise ValueError(f"trained with the preprocessing '{self.preprocessing}', this version has {PREPROCESSING}")
        return self


class SegmenterManifest(SegmenterDescription):
    """The content of ``segmenter.json``."""

    schema_version: Literal[1] = 1
    weights_sha256: Sha256


@dataclass(frozen=True)
class StoredSegmenter:
    """The content of an artifact's folder: the manifest, and tensors whose hash matches it."""

    manifest: SegmenterManifest
    state: Mapping[str, Tensor]

    def network(self) -> Segmenter:
        """Build the segmenter in evaluation mode on the CPU. Raises ArtifactError for other tensors than its own."""
        network = Segmenter()
        try:
            network.load_state_dict(self.state)
        except RuntimeError:
            raise ArtifactError(f"'{self.manifest.name}' does not hold exactly the tensors of the segmenter") from None
        return network.eval()


def find(name_or_dir: str, models_dir: Path) -> Path | None:
    """The folder of a segmenter given by name or by path; None where there is none."""
    folders = (models_dir / name_or_dir, Path(name_or_dir))
    return next((folder for folder in folders if (folder / MANIFEST).is_file()), None)


def read_manifest(directory: Path) -> SegmenterManifest:
    """Read the manifest alone. Raises ArtifactError where it is missing, damaged, or of another version."""
    path = directory / MANIFEST
    try:
        return SegmenterManifest.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror}") from None
    except ValidationError as error:
        raise ArtifactError(f"{path} does not fit this version: {'; '.join(describe(error))}") from None


def read(directory: Path) -> StoredSegmenter:
    """Read and check the files of an artifact.

    Raises ArtifactError where the manifest is invalid or the SHA-256 of the weights differs from the manifest.
    """
    manifest, path = read_manifest(directory), directory / WEIGHTS
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror}") from None
    if hashlib.sha256(content).hexdigest() != manifest.weights_sha256:
        raise ArtifactError(f"{path} does not match its manifest: the sha256 differs")
    try:
        return StoredSegmenter(manifest, load_tensors(content))
    except SafetensorError:
        raise ArtifactError(f"{path} is not a safetensors file") from None


def save(directory: Path, network: Segmenter, description: SegmenterDescription, card: str) -> SegmenterManifest:
    """Write an artifact atomically and verify it by loading; replaces an existing one. Raises ArtifactError."""
    state = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
    content = dump_tensors(state)
    manifest = SegmenterManifest(**description.model_dump(), weights_sha256=hashlib.sha256(content).hexdigest())
    try:
        with replace_folder(directory) as fresh:
            (fresh / WEIGHTS).write_bytes(content)
            (fresh / MANIFEST).write_text(_as_text(manifest), encoding="utf-8")
            (fresh / CARD).write_text(card, encoding="utf-8")
            read(fresh).network()
    except OSError as error:
        raise ArtifactError(f"{directory} cannot be written: {error.strerror}") from None
    return manifest


def amend(directory: Path, manifest: SegmenterManifest, card: str) -> None:
    """Replace the manifest and the card of an artifact; each file atomically.

    Raises ArtifactError where the manifest belongs to other weights.
    """
    if read_manifest(directory).weights_sha256 != manifest.weights_sha256:
        raise ArtifactError(f"{directory} holds other weights than those of the new manifest")
    for name, text in ((CARD, card), (MANIFEST, _as_text(manifest))):
        with write_atomically(directory / name) as fresh:
            fresh.write_text(text, encoding="utf-8")


def _as_text(manifest: SegmenterManifest) -> str:
    return json.dumps(manifest.model_dump(mode="json"), indent=1) + "\n"
