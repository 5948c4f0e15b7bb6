"""Replacing a file, so that a reader finds the old content or the new, never a part of either."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


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
