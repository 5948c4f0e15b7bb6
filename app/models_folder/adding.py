"""Adding artifacts to the models folder: each is complete and verified, or not there at all."""

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from app.errors import ArtifactError, ConfigurationError
from app.files import fresh_folder, rename_over, sha256_of
from app.models_folder import archive, hub, web
from app.models_folder.catalogue import CatalogueEntry
from app.models_folder.known_hashes import KnownHashes
from app.patchnet import artifact
from app.patchnet.checkpoint import ImportedWeights, import_checkpoint
from app.patchnet.manifest import NAME_PATTERN, Manifest

_CHECKPOINTS = (".pt", ".pth", ".bin")


@dataclass(frozen=True)
class Addition:
    """How an artifact is added.

    ``name`` None: that of its source. ``sha256`` is the expected hash of the file. ``replace``: whether an existing
    artifact is replaced.
    """

    models_dir: Path
    name: str | None = None
    sha256: str | None = None
    replace: bool = False

    def target(self, name: str) -> Path:
        """The folder of the artifact ``name``.

        Raises ConfigurationError for an impossible name, and for an existing artifact, unless it is replaced.
        """
        if not re.fullmatch(NAME_PATTERN, name):
            raise ConfigurationError(
                "a name has small letters, digits, '.', '_' and '-', and begins with a letter or digit"
            )
        directory = self.models_dir / name
        if directory.exists() and not self.replace:
            raise ConfigurationError(f"{directory} exists; use --replace, or another --name")
        return directory


def pull(
    entry: CatalogueEntry, addition: Addition, *, endpoint: str | None = None, cache: Path | None = None
) -> Manifest:
    """Download published weights from the hub and import them.

    Raises ArtifactError where the download fails, the hash is not the expected one, or the file holds more than
    weights.
    """
    name = addition.name or entry.name
    directory = addition.target(name)
    known = KnownHashes(addition.models_dir)
    found = hub.download(entry, endpoint=endpoint, cache=cache)
    try:
        known.check(entry.address, found.sha256, addition.sha256 or entry.sha256)
    except ArtifactError:
        found.discard()
        raise
    source = f"{entry.repository}@{found.commit}/{entry.file}"
    manifest = import_checkpoint(found.path, directory, entry.imported(name, source, "medpatchnet models pull"))
    known.record(entry.address, found.sha256)
    return manifest


def add(source: str, addition: Addition, about: ImportedWeights, progress: web.Progress) -> Manifest:
    """Add an artifact's folder, an exported zip file, or a checkpoint of the paper's authors; from a path or a URL.

    ``about`` describes a checkpoint. Raises ArtifactError, ConfigurationError.
    """
    if urlsplit(source).scheme not in {"http", "https"}:
        return _add_path(Path(source), addition, about)
    with TemporaryDirectory(prefix="medpatchnet-") as folder:
        file = Path(folder) / (Path(urlsplit(source).path).name or "download")
        web.download(source, file, progress)
        known, digest = KnownHashes(addition.models_dir), sha256_of(file)
        known.check(source, digest, addition.sha256)
        manifest = _add_path(file, replace(addition, sha256=None), replace(about, source=source))
        known.record(source, digest)
        return manifest


def _add_path(source: Path, addition: Addition, about: ImportedWeights) -> Manifest:
    if source.is_dir():
        return _install(lambda folder: _copy(source, folder), addition)
    if not source.is_file():
        raise ConfigurationError(f"{source} is neither a file nor a folder")
    if addition.sha256 is not None and sha256_of(source) != addition.sha256:
        raise ArtifactError(f"{source} does not have the SHA-256 of --sha256; it is refused")
    if source.suffix == ".zip":
        return _install(lambda folder: archive.extract(source, folder), addition)
    if source.suffix in _CHECKPOINTS:
        name = addition.name or source.stem.lower().removesuffix("_weights")
        return import_checkpoint(source, addition.target(name), replace(about, name=name))
    raise ConfigurationError(
        f"{source.name} is not a checkpoint ({', '.join(_CHECKPOINTS)}), a .zip file or a folder of an artifact"
    )


def _install(write: Callable[[Path], None], addition: Addition) -> Manifest:
    """Write an artifact's files into a new folder, verify them, and move the folder to its place."""
    try:
        with fresh_folder(addition.models_dir) as fresh:
            write(fresh)
            manifest = artifact.load(fresh).manifest
            if addition.name is not None:
                manifest = manifest.model_copy(update={"name": addition.name})
                artifact.amend(fresh, manifest)
            rename_over(fresh, addition.target(manifest.name))
            return manifest
    except OSError as error:
        raise ArtifactError(f"the artifact cannot be written: {error.strerror or error}") from None


def _copy(source: Path, target: Path) -> None:
    """Copy the plain files of an artifact's folder; subfolders and links are left out."""
    for file in source.iterdir():
        if file.is_file() and not file.is_symlink():
            shutil.copyfile(file, target / file.name)
