"""Artifacts: a folder of weights and their manifest. Loading is strict and checks hashes; nothing is unpickled."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from app import artifact_files
from app.artifact_files import CARD, WEIGHTS, as_json, encoded, read_json, read_weights
from app.errors import ArtifactError
from app.patchnet.backbones import build
from app.patchnet.manifest import Description, Manifest
from app.patchnet.model import PatchNet

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Artifact:
    """A loaded artifact: its manifest, its model in evaluation mode on the CPU, and its folder."""

    manifest: Manifest
    network: PatchNet
    directory: Path


@dataclass(frozen=True)
class Stored:
    """The content of an artifact's folder: the manifest, and tensors whose hash matches the manifest."""

    manifest: Manifest
    state: Mapping[str, Tensor]
    directory: Path

    def network(self) -> PatchNet:
        """Build the model in evaluation mode on the CPU.

        Raises ArtifactError unless the tensors are exactly those of the backbone.
        """
        network = _network(self.manifest)
        _fill(network, self.state, str(self.directory / WEIGHTS))
        return network.eval()


def available(models_dir: Path) -> list[str]:
    """Names of the artifacts in a folder, sorted; hidden folders are not complete yet."""
    names = (path.parent.name for path in models_dir.glob(f"*/{MANIFEST}"))
    return sorted(name for name in names if not name.startswith("."))


def find(name_or_dir: str, models_dir: Path) -> Path:
    """The folder of an artifact given by name or by path. Raises ArtifactError, which lists the known names."""
    for directory in (models_dir / name_or_dir, Path(name_or_dir)):
        if (directory / MANIFEST).is_file():
            return directory
    known = ", ".join(available(models_dir)) or "none"
    raise ArtifactError(f"no artifact '{name_or_dir}'; artifacts in {models_dir}: {known}")


def read_manifest(directory: Path) -> Manifest:
    """Read the manifest alone. Raises ArtifactError where it is missing, damaged, or of another version."""
    return read_json(directory / MANIFEST, Manifest)


def load(directory: Path) -> Artifact:
    """Load an artifact strictly.

    Raises ArtifactError where the manifest is invalid, the SHA-256 of the weights differs from the manifest, or the
    tensors are not exactly those of the backbone.
    """
    stored = read(directory)
    return Artifact(stored.manifest, stored.network(), directory)


def read(directory: Path) -> Stored:
    """Read and check the files of an artifact without building the model, which takes seconds.

    Raises ArtifactError where the manifest is invalid or the SHA-256 of the weights differs from the manifest.
    """
    manifest = read_manifest(directory)
    return Stored(manifest, read_weights(directory, manifest.weights_sha256), directory)


def save(
    directory: Path,
    network: PatchNet,
    description: Description,
    card: str,
    pictures: Mapping[str, bytes] | None = None,
) -> Manifest:
    """Write an artifact atomically and verify it by loading. ``pictures`` are files of the model card, by name.

    Replaces an existing artifact. Raises ArtifactError where ``network`` does not match ``description``, or the files
    cannot be written.
    """
    if (network.image_size, network.patch_size) != (description.image_size, description.patch_size):
        raise ArtifactError("the image and patch size of the model differ from the description")
    state = network.backbone.state_dict()
    content, sha256 = encoded(state)
    manifest = Manifest(**description.model_dump(), weights_sha256=sha256)
    _fill(_network(manifest), state, "the model")
    files = {WEIGHTS: content, MANIFEST: as_json(manifest), CARD: card.encode(), **(pictures or {})}
    artifact_files.write(directory, files, load)
    return manifest


def amend(directory: Path, manifest: Manifest, card: str | None = None) -> None:
    """Replace the manifest of an artifact, and its model card unless ``card`` is None; each file atomically.

    Raises ArtifactError where the manifest belongs to other weights.
    """
    files = {} if card is None else {CARD: card.encode()}
    artifact_files.amend(directory, read_manifest(directory), manifest, files | {MANIFEST: as_json(manifest)})


def network_from(state: dict[str, Tensor], description: Description) -> PatchNet:
    """Build a model with given backbone weights, in evaluation mode. Raises ArtifactError where they do not match."""
    network = _network(description)
    _fill(network, state, "the checkpoint")
    return network.eval()


def _network(description: Description) -> PatchNet:
    backbone = build(description.backbone, len(description.findings))
    return PatchNet(backbone, description.image_size, description.patch_size)


def _fill(network: PatchNet, state: Mapping[str, Tensor], origin: str) -> None:
    try:
        network.backbone.load_state_dict(state)
    except RuntimeError:
        own = network.backbone.state_dict()
        missing, extra = len(own.keys() - state.keys()), len(state.keys() - own.keys())
        raise ArtifactError(
            f"{origin} does not hold exactly the tensors of the backbone ({missing} missing, {extra} unknown)"
        ) from None
