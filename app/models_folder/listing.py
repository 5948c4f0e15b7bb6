"""What the models folder holds: summaries, verification and removal."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from app.errors import ArtifactError
from app.files import remove_folder
from app.patchnet import artifact
from app.patchnet.manifest import Manifest

_QUALITY = ("test.auroc.mean", "local.auroc.mean", "valid.auroc.mean", "published.auroc_14_findings")


@dataclass(frozen=True)
class Summary:
    """One artifact: ``manifest``, or the ``problem`` why it cannot be read; ``size`` of its files in bytes."""

    name: str
    size: int
    manifest: Manifest | None
    problem: str = ""

    @property
    def statuses(self) -> str:
        """Number of findings by status."""
        if self.manifest is None:
            return self.problem
        counts = Counter(record.status for record in self.manifest.findings)
        return ", ".join(f"{count} {status}" for status, count in counts.items())

    @property
    def quality(self) -> str:
        """The mean AUROC and where it was measured; empty where there is none."""
        metrics = self.manifest.metrics if self.manifest else {}
        found = next((name for name in _QUALITY if name in metrics), None)
        return f"AUROC {metrics[found]:.3f} ({found.partition('.')[0]})" if found else ""

    @property
    def origin(self) -> str:
        """Where the weights came from."""
        if self.manifest is None:
            return ""
        if self.manifest.history:
            return self.manifest.history[-1].source
        return "trained by a recipe" if self.manifest.recipe else "not stated"


def summaries(models_dir: Path) -> list[Summary]:
    """All artifacts of a folder, by name; a damaged one is listed with its problem."""
    return [_summary(models_dir / name) for name in artifact.available(models_dir)]


def verify(directory: Path) -> str | None:
    """Check manifest, hash and tensors of an artifact; returns the problem, or None."""
    try:
        artifact.load(directory)
    except ArtifactError as error:
        return error.detail
    return None


def remove(name: str, models_dir: Path) -> None:
    """Remove an artifact from the models folder, by name. Raises ArtifactError."""
    if name not in artifact.available(models_dir):
        known = ", ".join(artifact.available(models_dir)) or "none"
        raise ArtifactError(f"no artifact '{name}' in {models_dir}; there are: {known}")
    try:
        remove_folder(models_dir / name)
    except OSError as error:
        raise ArtifactError(f"{models_dir / name} cannot be removed: {error.strerror}") from None


def _summary(directory: Path) -> Summary:
    size = sum(file.stat().st_size for file in directory.iterdir() if file.is_file())
    try:
        return Summary(directory.name, size, artifact.read_manifest(directory))
    except ArtifactError as error:
        return Summary(directory.name, size, None, error.detail)
