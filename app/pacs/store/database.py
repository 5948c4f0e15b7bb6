"""The database of the store: SQLite in one file, or PostgreSQL. Handles connections and failures, not contents."""

import fcntl
import os
import shutil
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Lock
from typing import IO

from alembic import command
from alembic.config import Config
from sqlalchemy import URL, Connection, create_engine, event, insert, make_url, text, update
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from app.errors import ConfigurationError, StoreUnavailable
from app.pacs.store.schema import heartbeat
from app.telemetry import get_logger

_MIGRATIONS = "app.pacs.store:migrations"
_MIGRATION_LOCK = 7_021_944_023  # PostgreSQL advisory lock: replicas that start together migrate one after another
_PRIVATE = 0o600
_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",  # acknowledged work survives a power cut
    "busy_timeout=15000",
    "foreign_keys=ON",
    "secure_delete=ON",  # no bytes of delivered images remain in free pages
)


class Database:
    """One database. Thread-safe. Its errors become StoreUnavailable, without the data that was written."""

    def __init__(self, url: str, reserve_bytes: int = 0) -> None:
        """Create the engine without connecting. ``reserve_bytes`` must stay free on the disk of an embedded database.

        Raises ConfigurationError for an unusable URL.
        """
        self._url = _parsed(url)
        self._reserve_bytes = reserve_bytes
        self._lock = Lock()
        self._failing = False
        try:
            self._engine = create_engine(self._url, hide_parameters=True, pool_pre_ping=not self.is_embedded)
        except (ArgumentError, NoSuchModuleError, ModuleNotFoundError):
            raise ConfigurationError("MEDPATCHNET_DATABASE_URL: the driver is not installed") from None
        if self.is_embedded:
            event.listen(self._engine, "connect", _configure)
            event.listen(self._engine, "begin", _begin)
        self._reader = self._engine.execution_options(reading=True)

    @property
    def is_embedded(self) -> bool:
        """Whether the database is a local file that only this process uses."""
        return self._url.get_backend_name() == "sqlite"

    @property
    def is_healthy(self) -> bool:
        """Whether the last write succeeded and the disk has room."""
        return not self._failing and self.has_room

    @property
    def has_room(self) -> bool:
        """Whether the disk has the reserve that is needed to finish accepted work."""
        path = self._path
        if path is None:
            return True
        try:
            return shutil.disk_usage(path.parent).free >= self._reserve_bytes
        except OSError:
            return False

    @contextmanager
    def open(self) -> Generator[None]:
        """Migrate the tables, and dispose of all connections on leaving.

        Raises ConfigurationError if the database is not writable, or if an embedded one is in use.
        """
        with ExitStack() as stack:
            stack.callback(self._engine.dispose)
            if self._path is not None:
                stack.enter_context(_exclusive_use(self._path))
            self.migrate()
            yield

    def migrate(self) -> None:
        """Migrate the tables to the newest schema. Raises ConfigurationError if that fails."""
        config = Config()
        config.set_main_option("script_location", _MIGRATIONS)
        try:
            if self._path is not None:
                _keep_private(self._path)
            with self._engine.begin() as connection:
                if not self.is_embedded:
                    connection.execute(text(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})"))
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
            with self._engine.begin() as connection:
                _beat(connection)
        except (SQLAlchemyError, OSError) as error:
            raise ConfigurationError(f"the database cannot be opened for writing: {_reason(error)}") from None

    @contextmanager
    def writing(self) -> Generator[Connection]:
        """A write transaction, durable when the block ends. Raises StoreUnavailable."""
        try:
            with self._engine.begin() as connection:
                yield connection
        except DBAPIError as error:
            self._record_state(error)
            raise StoreUnavailable(f"the database cannot be written: {_reason(error)}") from None
        self._record_state(None)

    @contextmanager
    def reading(self) -> Generator[Connection]:
        """A read transaction with one consistent view. Raises StoreUnavailable."""
        try:
            with self._reader.begin() as connection:
                yield connection
        except DBAPIError as error:
            raise StoreUnavailable(f"the database cannot be read: {_reason(error)}") from None

    def probe(self) -> None:
        """Write a heartbeat, so that readiness follows failure and recovery. Raises StoreUnavailable."""
        with self.writing() as connection:
            _beat(connection)

    @property
    def _path(self) -> Path | None:
        return Path(self._url.database) if self.is_embedded and self._url.database else None

    def _record_state(self, error: DBAPIError | None) -> None:
        failing = error is not None
        with self._lock:
            changed, self._failing = failing != self._failing, failing
        if changed and error is not None:
            get_logger().error("store_unavailable", reason=_reason(error))
        elif changed:
            get_logger().info("store_available")


def _parsed(url: str) -> URL:
    """The URL with ``~`` expanded. Creates the folder of an embedded database."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ConfigurationError("MEDPATCHNET_DATABASE_URL is not a database URL") from None
    if parsed.get_backend_name() != "sqlite" or not parsed.database or parsed.database.startswith("file:"):
        return parsed
    try:
        path = Path(parsed.database).expanduser()
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        raise ConfigurationError("the folder of the database cannot be created") from None
    return parsed.set(database=str(path))


def _keep_private(database: Path) -> None:
    """Only the owner reads and writes an embedded database; SQLite gives the files beside it the same mode."""
    if str(database).startswith("file:"):
        return
    os.close(os.open(database, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _PRIVATE))
    for name in ("", "-wal", "-shm", ".lock"):
        path = database.with_name(database.name + name)
        if path.exists() and path.stat().st_mode & 0o077:
            path.chmod(_PRIVATE)


def _configure(connection: DBAPIConnection, record: ConnectionPoolEntry) -> None:
    del record
    connection.isolation_level = None  # pyright: ignore[reportAttributeAccessIssue] - of sqlite3: _begin starts the transactions
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    """Take the write lock at the start: of two transactions that read first, one could not upgrade its lock."""
    reading = connection.get_execution_options().get("reading", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


def _beat(connection: Connection) -> None:
    now = time.time()
    if not connection.execute(update(heartbeat).values(beat_at=now)).rowcount:
        connection.execute(insert(heartbeat).values(id=1, beat_at=now))


@contextmanager
def _exclusive_use(database: Path) -> Generator[None]:
    """Hold the lock file of an embedded database: two processes would claim the same work."""
    path = database.with_name(f"{database.name}.lock")
    try:
        lock: IO[bytes] = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, _PRIVATE), "ab")
    except OSError as error:
        raise ConfigurationError(f"the database cannot be opened for writing: {error.strerror}") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigurationError(
                "the database is in use by another process; several processes need PostgreSQL"
            ) from None
        yield


def _reason(error: Exception) -> str:
    """The cause without the data that was written: SQLite's name of the error, or PostgreSQL's SQLSTATE."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    name = getattr(cause, "sqlite_errorname", None) or getattr(cause, "sqlstate", None)
    return str(name or type(cause).__name__)
