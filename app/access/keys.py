"""API keys: random, kept as hashes in a JSON file that may change while the service runs."""

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import NamedTemporaryFile
from time import monotonic
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from app.access.callers import Caller, Scope
from app.errors import ConfigurationError
from app.telemetry import get_logger

PREFIX = "mpn_"
_KEY_BYTES = 32
_LOOK_EVERY_S = 1.0

_Signature = tuple[int, int, int]


class KeyRecord(BaseModel):
    """One entry of a key file. ``sha256`` is that of the whole key, in hexadecimal.

    A plain hash is enough: keys are 256 random bits, so there is nothing to guess that salt or stretching would slow.
    Names may repeat, so that an old and a new key are valid at once while clients change over.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$")]
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


_RECORDS = TypeAdapter(tuple[KeyRecord, ...])


def new_key() -> str:
    """A fresh key: ``mpn_`` and 256 random bits."""
    return PREFIX + secrets.token_urlsafe(_KEY_BYTES)


def record_of(key: str, name: str, scopes: Sequence[str]) -> KeyRecord:
    """The entry that stands for a key. Raises ConfigurationError for a name that is not plain, no or odd scopes."""
    try:
        return KeyRecord.model_validate({"name": name, "scopes": tuple(dict.fromkeys(scopes)), "sha256": _digest(key)})
    except ValidationError as error:
        raise ConfigurationError(
            "; ".join(f"{problem['loc'][0]}: {problem['msg']}" for problem in error.errors())
        ) from None


def read_keys(path: Path) -> tuple[KeyRecord, ...]:
    """The entries of a key file. Raises ConfigurationError, without quoting what the file holds."""
    try:
        return _RECORDS.validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"the key file {path} cannot be read: {error.strerror}") from None
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['type']}" for item in error.errors())
        raise ConfigurationError(f"the key file {path} is not a list of name, scopes and sha256: {wrong}") from None


def add_key(path: Path, record: KeyRecord) -> None:
    """Append an entry, whole or not at all: a running service never reads half a file. Raises ConfigurationError."""
    records = [*(read_keys(path) if path.exists() else ()), record]
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o644  # hashes only, and a container's user must read it
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}-", delete=False, encoding="utf-8") as fresh:
            json.dump([entry.model_dump(mode="json") for entry in records], fresh, indent=1)
            fresh.write("\n")
        os.chmod(fresh.name, mode)
        os.replace(fresh.name, path)
    except OSError as error:
        raise ConfigurationError(f"the key file {path} cannot be written: {error.strerror}") from None


def find_key(records: Sequence[KeyRecord], key: str) -> Caller | None:
    """Whose key it is. The time taken depends on the number of entries only: all are compared, in constant time."""
    presented = _digest(key)
    found: KeyRecord | None = None
    for record in records:
        if hmac.compare_digest(record.sha256, presented):
            found = record
    return None if found is None else Caller(found.name, frozenset(found.scopes))


class KeyFile:
    """The keys of a file, read again when it changes; a change that cannot be read leaves the keys as they were."""

    def __init__(self, path: Path, clock: Callable[[], float] = monotonic) -> None:
        """Read the file. Raises ConfigurationError."""
        self._path = path
        self._clock = clock
        self._signature = self._look()
        self._records = read_keys(path)
        self._looked = clock()

    def find(self, key: str) -> Caller | None:
        """Whose key it is, as of at most a second ago."""
        if self._clock() - self._looked >= _LOOK_EVERY_S:
            self._looked = self._clock()
            self._reload()
        return find_key(self._records, key)

    def _reload(self) -> None:
        signature = self._look()
        if signature == self._signature:
            return
        self._signature = signature
        try:
            self._records = read_keys(self._path)
        except ConfigurationError as error:
            get_logger().error("key_file_unreadable", detail=error.detail)
        else:
            get_logger().info("key_file_read", keys=len(self._records))

    def _look(self) -> _Signature | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
