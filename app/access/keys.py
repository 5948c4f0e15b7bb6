"""API keys: random, stored as hashes in a JSON file that can change while the service runs."""

import hashlib
import hmac
import json
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from app.access.callers import Caller, Scope
from app.errors import ConfigurationError
from app.files import write_atomically
from app.telemetry import get_logger
from app.validation import StrictModel, describe

PREFIX = "mpn_"
_KEY_BYTES = 32
_LOOK_EVERY_S = 1.0
_ID_DIGITS = 12

_Signature = tuple[int, int, int]


class KeyRecord(StrictModel):
    """One entry of a key file. ``sha256`` is the hash of the whole key, in hexadecimal.

    A plain hash is enough: keys are 256 random bits, so salt or stretching would add nothing. Names can repeat, so
    that an old and a new key are both valid during a rotation.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$")]
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

    @property
    def id(self) -> str:
        """The first digits of the hash, which identify the key without being a secret."""
        return self.sha256[:_ID_DIGITS]


_RECORDS = TypeAdapter(tuple[KeyRecord, ...])


def new_key() -> str:
    """A new key: ``mpn_`` and 256 random bits."""
    return PREFIX + secrets.token_urlsafe(_KEY_BYTES)


def record_of(key: str, name: str, scopes: Sequence[str]) -> KeyRecord:
    """The entry of a key. Raises ConfigurationError for an invalid name, and for missing or unknown scopes."""
    try:
        return KeyRecord.model_validate({"name": name, "scopes": tuple(dict.fromkeys(scopes)), "sha256": _digest(key)})
    except ValidationError as error:
        raise ConfigurationError("; ".join(describe(error))) from None


def read_keys(path: Path) -> tuple[KeyRecord, ...]:
    """The entries of a key file. Raises ConfigurationError, which quotes no values of the file."""
    try:
        return _RECORDS.validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"the key file {path} cannot be read: {error.strerror}") from None
    except ValidationError as error:
        wrong = "; ".join(describe(error))
        raise ConfigurationError(f"the key file {path} is not a list of name, scopes and sha256: {wrong}") from None


def add_key(path: Path, record: KeyRecord) -> None:
    """Append an entry; a running service reads the old file or the new one. Raises ConfigurationError."""
    _write_keys(path, [*(read_keys(path) if path.exists() else ()), record])


def revoke_key(path: Path, name_or_id: str) -> KeyRecord:
    """Remove and return the entry with an id, or the only one with a name. Raises ConfigurationError."""
    records = read_keys(path)
    found = [record for record in records if name_or_id in {record.id, record.name}]
    if not found:
        raise ConfigurationError(f"the key file {path} has no key '{name_or_id}'")
    if len(found) > 1:
        ids = ", ".join(record.id for record in found)
        raise ConfigurationError(f"{len(found)} keys have the name '{name_or_id}'; revoke one by its id: {ids}")
    _write_keys(path, [record for record in records if record is not found[0]])
    return found[0]


def _write_keys(path: Path, records: Sequence[KeyRecord]) -> None:
    mode = (
        path.stat().st_mode & 0o777 if path.exists() else 0o644
    )  # only hashes; a container's user must be able to read them
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with write_atomically(path) as fresh:
            fresh.touch(0o600)
            content = json.dumps([entry.model_dump(mode="json") for entry in records], indent=1)
            fresh.write_text(content + "\n", encoding="utf-8")
            fresh.chmod(mode)
    except OSError as error:
        raise ConfigurationError(f"the key file {path} cannot be written: {error.strerror}") from None


def find_key(records: Sequence[KeyRecord], key: str) -> KeyRecord | None:
    """The entry of a key, or None. Compares every entry in constant time, so timing reveals nothing about keys."""
    presented = _digest(key)
    found: KeyRecord | None = None
    for record in records:
        if hmac.compare_digest(record.sha256, presented):
            found = record
    return found


class KeyFile:
    """The keys of a file, reloaded when it changes. An unreadable file leaves the loaded keys in force."""

    def __init__(
        self, path: Path, clock: Callable[[], float] = monotonic, on_use: Callable[[str], None] = lambda _: None
    ) -> None:
        """Read the file; ``on_use`` gets the id of each key that was found. Raises ConfigurationError."""
        self._path = path
        self._on_use = on_use
        self._clock = clock
        self._signature = self._look()
        self._records = read_keys(path)
        self._looked = clock()

    def find(self, key: str) -> Caller | None:
        """The caller of a key, or None; a change of the file takes effect within a second."""
        if self._clock() - self._looked >= _LOOK_EVERY_S:
            self._looked = self._clock()
            self._reload()
        found = find_key(self._records, key)
        if found is None:
            return None
        self._on_use(found.id)
        return Caller(found.name, frozenset(found.scopes))

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
