"""The folder of results: a Parquet data set of parts, each written whole, and a file that states what made it."""

# pyright: reportUnknownParameterType=false
# pyarrow has no types.

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.core import url_to_fs

from app.errors import ConfigurationError
from app.files import write_atomically

SCHEMA_VERSION = 1
ABOUT = "_medpatchnet.json"  # readers of Parquet data sets leave out names that begin with an underscore
_KEYS = pa.schema(
    [("input_hash", pa.string()), ("size", pa.int64()), ("version", pa.string()), ("sha256", pa.string())]
)


@dataclass(frozen=True)
class ResultFolder:
    """A folder on a disk, or in what fsspec opens by URL. All nodes must see the same folder."""

    url: str

    def open(self, about: dict[str, Any]) -> None:
        """Create the folder, or check that its results are of the same kind.

        Raises ConfigurationError if an earlier run has used another model, other operating points or other columns.
        """
        wanted = json.loads(json.dumps({"schema": SCHEMA_VERSION, **about}))
        try:
            found = json.loads(self._read(ABOUT))
        except FileNotFoundError:
            if next(self._parts(), None) is not None:
                raise ConfigurationError(f"{self.url} has Parquet files of something else") from None
            self._write(ABOUT, json.dumps(wanted, indent=1).encode())
            return
        different = sorted(name for name in {*wanted, *found} if wanted.get(name) != found.get(name))
        if different:
            raise ConfigurationError(
                f"{self.url} has results of another run, with a different {', '.join(different)}; choose another --out"
            )

    def known(self) -> pa.Table:
        """What the rows identify: hash of the location, size, version and SHA-256 of every film with a row."""
        return pa.concat_tables([_KEYS.empty_table(), *map(self._keys_of, self._parts())])

    def outcome_of(self, part: str) -> tuple[int, int] | None:
        """Films with a result and films with an error in a part; None where the part does not exist."""
        try:
            errors = self._columns(part, ["error"]).column("error")
        except FileNotFoundError:
            return None
        return errors.null_count, len(errors) - errors.null_count

    def write(self, part: str, rows: pa.Table) -> None:
        """Write a part whole; a part of this name is replaced."""
        buffer = BytesIO()
        pq.write_table(rows, buffer, compression="zstd")
        self._write(part, buffer.getvalue())

    def _keys_of(self, part: str) -> pa.Table:
        try:
            return self._columns(part, _KEYS.names).cast(_KEYS)
        except (pa.ArrowInvalid, KeyError):
            raise ConfigurationError(
                f"{self.url}/{part} is damaged; remove it, and another run scores its films again"
            ) from None

    def _parts(self) -> Iterator[str]:
        files, path = self._files()
        if files.isdir(path):
            files.invalidate_cache()
            names = (str(name).rsplit("/", 1)[-1] for name in cast("Sequence[str]", files.ls(path, detail=False)))
            yield from sorted(name for name in names if name.endswith(".parquet") and not name.startswith("."))

    def _columns(self, part: str, names: list[str]) -> pa.Table:
        """Some columns of a part; the others, such as patch logits, are not read."""
        files, path = self._files()
        with files.open(f"{path}/{part}", "rb") as file:
            return pq.read_table(file, columns=names)

    def _read(self, name: str) -> bytes:
        files, path = self._files()
        return files.cat_file(f"{path}/{name}")

    def _write(self, name: str, content: bytes) -> None:
        """Whole or not at all: by renaming on a disk; an object store does the same with every object."""
        files, path = self._files()
        files.makedirs(path, exist_ok=True)
        if "file" not in files.protocol:
            files.pipe_file(f"{path}/{name}", content)
            return
        with write_atomically(Path(path, name)) as fresh:
            fresh.write_bytes(content)

    def _files(self) -> tuple[Any, str]:
        files, path = cast("tuple[Any, str]", url_to_fs(self.url))
        return files, path.rstrip("/")
