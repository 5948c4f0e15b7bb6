"""The inputs of a run: files, folders and patterns, on disks and, by URL, in everything that fsspec opens."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import fsspec
from fsspec.core import url_to_fs

from app.errors import ConfigurationError

_PATTERN = frozenset("*?[")
_VERSIONS = ("ETag", "etag", "md5Hash", "content_md5", "mtime", "LastModified", "last_modified", "modified")
"""Entries of a listing that change with the content, as fsspec's file systems name them; the first present counts."""


@dataclass(frozen=True)
class Input:
    """One file: its absolute path or URL, its size in bytes, and a text that changes with its content."""

    location: str
    size: int
    version: str

    @property
    def hash(self) -> str:
        """SHA-256 of the location: identifies the input without its path, which can name a patient."""
        return hashlib.sha256(self.location.encode()).hexdigest()


def list_inputs(sources: Iterable[str]) -> Iterator[Input]:
    """Every file of the sources once: a file, all files below a folder, or those that match a pattern.

    Hidden files and folders and DICOMDIR are left out; links to files are followed, links to folders are not. Raises
    ConfigurationError for a source that does not exist or cannot be listed.
    """
    seen: set[str] = set()
    for source in sources:
        try:
            for found in _of_source(source):
                if found.location not in seen:
                    seen.add(found.location)
                    yield found
        except FileNotFoundError:
            raise ConfigurationError(f"{source} does not exist") from None
        except (OSError, ImportError, ValueError) as error:  # fsspec names the package that a protocol needs
            raise ConfigurationError(f"{source} cannot be listed: {_reason(error)}") from None


def read_input(location: str, max_bytes: int) -> bytes:
    """The content of an input, at most one byte more than ``max_bytes``. Raises OSError."""
    with cast("Any", fsspec.open(location, "rb", cache_type="none")) as file:
        return file.read(max_bytes + 1)


def _of_source(source: str) -> Iterator[Input]:
    files, path = cast("tuple[Any, str]", url_to_fs(source))
    if _PATTERN & set(path):
        found = cast("Mapping[str, Any]", files.glob(path, detail=True))
        if not found:
            raise FileNotFoundError
        yield from (_input(files, entry) for entry in found.values() if _is_file(files, entry))
    elif files.isdir(path):
        yield from _below(files, path)
    else:
        yield _input(files, files.info(path))


def _below(files: Any, folder: str) -> Iterator[Input]:  # noqa: ANN401 - fsspec is not typed
    for _, folders, names in files.walk(folder, detail=True, on_error="raise"):
        for hidden in [name for name in folders if name.startswith(".")]:
            del folders[hidden]  # walk does not enter what is removed
        for name in sorted(names):
            entry = names[name]
            if not name.startswith(".") and name != "DICOMDIR" and _is_file(files, entry):
                yield _input(files, entry)


def _is_file(files: Any, entry: Mapping[str, Any]) -> bool:  # noqa: ANN401
    if entry.get("islink"):
        entry = files.info(entry["name"])
    return entry["type"] == "file"


def _input(files: Any, entry: Mapping[str, Any]) -> Input:  # noqa: ANN401
    version = next((str(entry[key]) for key in _VERSIONS if entry.get(key)), "")
    local = "file" in ((files.protocol,) if isinstance(files.protocol, str) else files.protocol)
    location = entry["name"] if local else files.unstrip_protocol(entry["name"])
    return Input(location, int(entry.get("size") or 0), version)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
