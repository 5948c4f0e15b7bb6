"""The artifact of a segmenter: a folder of weights and their manifest, loaded strictly, as those of the models are.

Its manifest has a name of its own, so that no folder of a segmenter is taken for a model of findings.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, JsonValue, model_validator
from torch import Tensor

from app import artifact_files
from app.anatomy.segmenter import CLASSES, Segmenter
from app.artifact_files import CARD, WEIGHTS, as_json, encoded, read_json, read_weights
from app.errors import ArtifactError
from app.patchnet.manifest import NAME_PATTERN, Sha256
from app.patchnet.preprocessing import PREPROCESSING
from app.validation import StrictModel

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
    return read_json(directory / MANIFEST, SegmenterManifest)


def read(directory: Path) -> StoredSegmenter:
    """Read and check the files of an artifact.

    Raises ArtifactError where the manifest is invalid or the SHA-256 of the weights differs from the manifest.
    """
    manifest = read_manifest(directory)
    return StoredSegmenter(manifest, read_weights(directory, manifest.weights_sha256))


def save(directory: Path, network: Segmenter, description: SegmenterDescription, card: str) -> SegmenterManifest:
    """Write an artifact atomically and verify it by loading; replaces an existing one. Raises ArtifactError."""
    content, sha256 = encoded(network.state_dict())
    manifest = SegmenterManifest(**description.model_dump(), weights_sha256=sha256)
    files = {WEIGHTS: content, MANIFEST: as_json(manifest), CARD: card.encode()}
    artifact_files.write(directory, files, lambda fresh: read(fresh).network())
    return manifest


def amend(directory: Path, manifest: SegmenterManifest, card: str) -> None:
    """Replace the manifest and the card of an artifact; each file atomically.

    Raises ArtifactError where the manifest belongs to other weights.
    """
    files = {CARD: card.encode(), MANIFEST: as_json(manifest)}
    artifact_files.amend(directory, read_manifest(directory), manifest, files)
