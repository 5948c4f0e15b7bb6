"""Hashes of downloaded files: recorded on first use, and any other file from the same address is refused later."""

import json
from pathlib import Path

from app.errors import ArtifactError
from app.files import write_atomically

FILE = ".known-hashes.json"


class KnownHashes:
    """The recorded hashes of a models folder, by address."""

    def __init__(self, models_dir: Path) -> None:
        self._path = models_dir / FILE

    def check(self, address: str, sha256: str, stated: str | None) -> None:
        """Refuse a file whose hash is neither ``stated`` nor, where none is stated, the recorded one.

        Raises ArtifactError, also where the records cannot be read.
        """
        recorded = self._read().get(address)
        expected = stated or recorded
        if expected is not None and sha256 != expected:
            origin = "stated for it" if stated else f"recorded in {self._path} when it was first downloaded"
            raise ArtifactError(
                f"{address} has the SHA-256 {sha256}, but {expected} is {origin}; it is refused. If its owner confirms "
                "the change, repeat the command with --sha256 and the new hash"
            )

    def record(self, address: str, sha256: str) -> None:
        """Record the hash of an accepted file. Raises ArtifactError where it cannot be written."""
        known = self._read()
        if known.get(address) == sha256:
            return
        try:
            with write_atomically(self._path) as fresh:
                fresh.write_text(json.dumps(known | {address: sha256}, indent=1, sort_keys=True) + "\n", "utf-8")
        except OSError as error:
            raise ArtifactError(f"{self._path} cannot be written: {error.strerror}") from None

    def _read(self) -> dict[str, str]:
        try:
            content = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError):
            raise ArtifactError(
                f"{self._path} cannot be read; restore it, or remove it to record hashes anew"
            ) from None
        if not isinstance(content, dict):
            raise ArtifactError(f"{self._path} is not a record of hashes; restore it, or remove it")
        return {str(address): str(sha256) for address, sha256 in content.items()}
