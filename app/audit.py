"""The audit log: caller, action, object and outcome of every request. Append-only, a hash chain, no patient data.

One JSON object per line. ``hash`` is the SHA-256 of the rest of the line, which includes the hash of the ``previous``
line, so changing, removing or reordering a line breaks every later one. Truncation is detected with an anchor: the
number and hash of a line, which the service writes to its own log from time to time.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import Any, BinaryIO, cast

from app.errors import AuditUnavailable, ConfigurationError
from app.telemetry import get_logger

GENESIS = "0" * 64
_ANCHOR_EVERY = 1000
_TRY_AGAIN_AFTER_S = 5.0
_TAIL_BYTES = 1 << 16


@dataclass
class Subject:
    """The objects of a request, filled in while the request is handled.

    ``object_sha256`` is the hash of the bytes as received, ``instance_sha256`` that of the SOP Instance UID; hashes of
    several objects are separated by commas. With an object, its lines can be found; from a line, the object cannot be
    identified.
    """

    object_sha256: str | None = None
    instance_sha256: str | None = None
    model: str | None = None

    def note_object(self, content: bytes) -> None:
        """Add the hash of an object as received."""
        self.object_sha256 = _with(self.object_sha256, content)

    def note_instance(self, instance_uid: str | None) -> None:
        """Add the hash of a SOP Instance UID, if there is one."""
        if instance_uid:
            self.instance_sha256 = _with(self.instance_sha256, instance_uid.encode())


def _with(noted: str | None, content: bytes) -> str:
    digest = hashlib.sha256(content).hexdigest()
    return digest if noted is None else f"{noted},{digest}"


subject_var: ContextVar[Subject | None] = ContextVar("subject", default=None)


def note_subject(instance_uid: str | None, model: str) -> None:
    """Record the DICOM object and the model of the current request; outside a request, do nothing."""
    subject = subject_var.get()
    if subject is not None:
        subject.note_instance(instance_uid)
        subject.model = model


@dataclass(frozen=True)
class Entry:
    """One event. ``outcome`` is ``ok`` or an error code."""

    caller: str
    action: str
    outcome: str
    request_id: str
    subject: Subject


class AuditLog:
    """The log of one process. Thread-safe; a line is on disk before ``append`` returns."""

    def __init__(self, path: Path, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """Open a new or existing log. Raises ConfigurationError if it is damaged, in use or not writable."""
        self._now = now
        self._lock = Lock()
        self._failed_at: float | None = None
        try:
            self._file: BinaryIO = open(path, "a+b", buffering=0)  # noqa: SIM115 - open for as long as the service runs
        except OSError as error:
            raise ConfigurationError(f"the audit log {path} cannot be written: {error.strerror}") from None
        with ExitStack() as on_failure:
            on_failure.callback(self._file.close)
            self._begin(path)
            on_failure.pop_all()
        get_logger().info("audit_anchor", number=self._number, hash=self._head)

    def _begin(self, path: Path) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigurationError(f"the audit log {path} is in use by another process") from None
        self._number, self._head, self._size = _resume(self._file, path)

    @property
    def is_well(self) -> bool:
        """Whether the last write succeeded, or enough time has passed to try again."""
        return self._failed_at is None or monotonic() - self._failed_at > _TRY_AGAIN_AFTER_S

    def append(self, entry: Entry) -> None:
        """Write one line. Raises AuditUnavailable if it did not reach the disk; the request must then fail."""
        with self._lock:
            line, digest = _sealed(entry, self._number + 1, self._now(), self._head)
            try:
                _write(self._file, line)
                os.fdatasync(self._file.fileno())
            except OSError as error:
                self._failed_at = monotonic()
                self._undo()
                get_logger().error("audit_failed", reason=error.strerror)
                raise AuditUnavailable(
                    "the audit log cannot be written, and no request is answered without it"
                ) from None
            self._failed_at = None
            self._number, self._head, self._size = self._number + 1, digest, self._size + len(line)
            if self._number % _ANCHOR_EVERY == 0:
                get_logger().info("audit_anchor", number=self._number, hash=self._head)

    def close(self) -> None:
        """Close the file."""
        get_logger().info("audit_anchor", number=self._number, hash=self._head)
        self._file.close()

    def _undo(self) -> None:
        """Remove the partial line of a failed write: a full disk can take half a line."""
        try:
            os.ftruncate(self._file.fileno(), self._size)
        except OSError:
            get_logger().error("audit_torn", number=self._number)


@dataclass(frozen=True)
class Verified:
    """An intact log: the number of lines, and the hash of the last one."""

    lines: int
    head: str


def verify(path: Path, anchors: Iterable[tuple[int, str]] = ()) -> Verified:
    """Check every line of a log, and that it contains the ``anchors`` (number, hash).

    Raises ConfigurationError, which names the first wrong line.
    """
    wanted = dict(anchors)
    number, head = 0, GENESIS
    try:
        with open(path, "rb") as file:
            for number, line in enumerate(file, 1):
                head = _checked(line, number, head)
                if wanted.pop(number, head) != head:
                    raise ConfigurationError(f"line {number} differs from its anchor: the log was rewritten")
    except OSError as error:
        raise ConfigurationError(f"the audit log {path} cannot be read: {error.strerror}") from None
    if wanted:
        raise ConfigurationError(f"the log ends at line {number}, before the anchor {min(wanted)}: it was truncated")
    return Verified(number, head)


def _sealed(entry: Entry, number: int, time: datetime, previous: str) -> tuple[bytes, str]:
    fields: dict[str, Any] = {
        "number": number,
        "time": time.isoformat(timespec="milliseconds"),
        "caller": entry.caller,
        "action": entry.action,
        "outcome": entry.outcome,
        "request_id": entry.request_id,
        "object_sha256": entry.subject.object_sha256,
        "instance_sha256": entry.subject.instance_sha256,
        "model": entry.subject.model,
        "previous": previous,
    }
    digest = _digest(fields)
    return json.dumps(fields | {"hash": digest}, separators=(",", ":")).encode() + b"\n", digest


def _digest(fields: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(fields, separators=(",", ":")).encode()).hexdigest()


def _checked(line: bytes, number: int, previous: str) -> str:
    """The hash of a line. Raises ConfigurationError if the line is wrong."""
    try:
        fields: object = json.loads(line)
    except ValueError:
        fields = None
    if not isinstance(fields, dict) or not line.endswith(b"\n"):
        raise ConfigurationError(f"line {number} is damaged: it is not a JSON object")
    known = cast("dict[str, Any]", fields)
    digest = known.pop("hash", None)
    if digest != _digest(known):
        raise ConfigurationError(f"line {number} was changed: its hash does not match")
    if known.get("previous") != previous or known.get("number") != number:
        raise ConfigurationError(f"line {number} does not follow the previous line: lines were removed, added or moved")
    return str(digest)


def _write(file: BinaryIO, line: bytes) -> None:
    while line:
        line = line[file.write(line) or 0 :]


def _resume(file: BinaryIO, path: Path) -> tuple[int, str, int]:
    """Number and hash of the last line, and the size of the log.

    A partial last line is removed: its request was never answered. Raises ConfigurationError for other damage.
    """
    size = file.seek(0, os.SEEK_END)
    start = max(0, size - _TAIL_BYTES)
    file.seek(start)
    tail = file.read(size - start)
    whole = tail[: tail.rfind(b"\n") + 1]
    if len(whole) < len(tail):
        get_logger().warning("audit_torn_end_dropped", bytes=len(tail) - len(whole))
        size -= len(tail) - len(whole)
        os.ftruncate(file.fileno(), size)
    if not whole:
        return 0, GENESIS, size
    last = whole.splitlines(keepends=True)[-1]
    try:
        fields: dict[str, Any] = json.loads(last)
        number = int(fields["number"])
        return number, _checked(last, number, str(fields["previous"])), size
    except (ValueError, KeyError, TypeError, ConfigurationError):
        raise ConfigurationError(
            f"the last line of {path} is damaged; run `medpatchnet audit verify` for details"
        ) from None
