"""A PostgreSQL server of the tests' own, which can be restarted."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.integration.orthanc import free_ports
from tests.programs import installed

_FOLDER = "/dev/shm" if Path("/dev/shm").is_dir() else None  # the user postgres cannot enter the folder of pytest


@dataclass(frozen=True)
class Postgres:
    """A server on a loopback port, with the database ``postgres`` of the user ``tester``."""

    folder: Path
    port: int
    pg_ctl: str
    as_user: tuple[str, ...]

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://tester@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Start, and wait until it accepts connections."""
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
        self._control("-w", "-o", options, "-l", self.folder / "log", "start")

    def stop(self) -> None:
        """End at once: all connections break, and open transactions are lost."""
        self._control("-m", "immediate", "stop")

    def _control(self, *arguments: str | Path) -> None:
        command = [*self.as_user, self.pg_ctl, "-D", self.folder / "data", *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=60)


@contextmanager
def postgres_server() -> Iterator[Postgres]:
    """A new server. The test is skipped, or fails in CI, where PostgreSQL is not installed."""
    initdb = installed("initdb", *sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True))
    folder = Path(tempfile.mkdtemp(prefix="postgres", dir=_FOLDER))
    as_user: tuple[str, ...] = ()
    if os.geteuid() == 0:  # which PostgreSQL refuses to run as
        shutil.chown(folder, "postgres", "postgres")
        as_user = ("runuser", "-u", "postgres", "--")
    (port,) = free_ports(1)
    make = [*as_user, initdb, "-D", folder / "data", "-A", "trust", "-U", "tester", "--no-sync"]
    subprocess.run(make, check=True, stdout=subprocess.DEVNULL)
    server = Postgres(folder, port, str(Path(initdb).with_name("pg_ctl")), as_user)
    server.start()
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)
