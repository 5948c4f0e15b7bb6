"""When each API key was last used: kept in memory, and written to a file from time to time, beside no secret."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock

from pydantic import AwareDatetime, TypeAdapter, ValidationError

from app.files import write_atomically
from app.telemetry import get_logger

_TIMES = TypeAdapter(dict[str, AwareDatetime])


def read_last_uses(path: Path) -> dict[str, datetime]:
    """Last uses by id of the key; empty if the file does not exist or is damaged."""
    try:
        return _TIMES.validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return {}


class KeyUse:
    """The last uses that one process saw. ``note`` only writes to memory; ``save`` belongs to a thread of its own.

    Several processes can share the file: each adds its uses to it again at every ``save``, so that a lost update is
    made up for by the next one.
    """

    def __init__(self, path: Path, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._path = path
        self._now = now
        self._lock = Lock()
        self._seen: dict[str, datetime] = {}
        self._saved: dict[str, datetime] = {}
        self._has_failed = False

    def note(self, identity: str) -> None:
        """The key with this id was used now."""
        self._seen[identity] = self._now()

    def save(self) -> None:
        """Merge the uses into the file, if there are new ones. A file that is not writable is logged once."""
        with self._lock:
            seen = dict(self._seen)
            if seen == self._saved:
                return
            try:
                _write(self._path, _latest(read_last_uses(self._path), seen))
            except OSError as error:
                if not self._has_failed:
                    get_logger().warning("key_use_not_written", reason=error.strerror)
                self._has_failed = True
            else:
                self._saved, self._has_failed = seen, False


def _latest(one: Mapping[str, datetime], other: Mapping[str, datetime]) -> dict[str, datetime]:
    times = dict(one)
    for identity, time in other.items():
        times[identity] = max(time, times.get(identity, time))
    return times


def _write(path: Path, times: Mapping[str, datetime]) -> None:
    with write_atomically(path) as fresh:
        content = {identity: time.isoformat(timespec="seconds") for identity, time in sorted(times.items())}
        fresh.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
