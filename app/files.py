"""Replacing a file or a folder, so that a reader finds the old content or the new, never a part of either."""

import hashlib
import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp


@contextmanager
def write_atomically(path: Path) -> Generator[Path]:
    """Yield the path of a new file in the same folder, which replaces ``path`` when the block ends without an error.

    After an error, ``path`` is as it was and the new file is removed. Raises OSError.
    """
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield fresh
        os.replace(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)


@contextmanager
def replace_folder(directory: Path) -> Generator[Path]:
    """Yield a new folder beside ``directory``, which replaces it when the block ends without an error.

    After an error, ``directory`` is as it was and the new folder is removed. Raises OSError.
    """
    with fresh_folder(directory.parent) as fresh:
        yield fresh
        rename_over(fresh, directory)


@contextmanager
def fresh_folder(parent: Path) -> Generator[Path]:
    """Yield a new hidden folder in ``parent``, which is removed in the end unless it was renamed. Raises OSError."""
    parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(mkdtemp(prefix=".new-", dir=parent))
    try:
        fresh.chmod(0o755)
        yield fresh
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def rename_over(fresh: Path, directory: Path) -> None:
    """Rename a folder to ``directory``, which is removed first where it exists. Raises OSError."""
    if directory.exists():
        remove_folder(directory)
    fresh.rename(directory)


def remove_folder(directory: Path) -> None:
    """Remove a folder: it is renamed first, so that a reader finds all of it or nothing. Raises OSError."""
    old = Path(mkdtemp(prefix=f".{directory.name}-old-", dir=directory.parent))
    try:
        directory.rename(old / "removed")
    finally:
        shutil.rmtree(old, ignore_errors=True)


def sha256_of(path: Path) -> str:
    """SHA-256 of the content of a file, in hexadecimal. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
