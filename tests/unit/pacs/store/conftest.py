"""Stores on real databases: SQLite always, PostgreSQL where it is installed."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import func, select

from app.pacs.store.database import Database
from app.pacs.store.inbox import Order
from app.pacs.store.jobs import Analysis
from app.pacs.store.schema import contents
from app.pacs.store.store import Store, make_retry_policy
from app.pacs.values import Arrival, FailedOutput, Problem, Result
from app.settings import Settings
from tests.clocks import Clock
from tests.programs import installed

ARRIVAL = Arrival("MODALITY", "1.2.1", "1.2.3", b"film" * 100)
ORDER = Order("pacs", ("sr", "sc"), "chest", "rule")
ANALYSIS = Analysis("1.2", "archive", Order("pacs", ("sr",)))
AWAY = Problem("node_unavailable", "no answer")
FAILED = FailedOutput("sr", Problem("object_not_created", "cannot be created (ValueError)", permanent=True))


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a PostgreSQL server of these tests' own, on a free port."""
    initdb = installed("initdb", *sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True))
    folder = Path(
        tempfile.mkdtemp(prefix="postgres", dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
    )  # not the user postgres cannot enter the folder of pytest
    as_user = []
    if os.geteuid() == 0:  # which PostgreSQL refuses to run as
        shutil.chown(folder, "postgres", "postgres")
        as_user = ["runuser", "-u", "postgres", "--"]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    data, pg_ctl = folder / "data", str(Path(initdb).with_name("pg_ctl"))
    subprocess.run([*as_user, initdb, "-D", data, "-A", "trust", "-U", "tester", "--no-sync"], check=True, stdout=-3)
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
    start = [*as_user, pg_ctl, "-D", data, "-w", "-o", options, "-l", folder / "log", "start"]
    subprocess.run(start, check=True, stdout=-3, timeout=60)
    yield f"postgresql+psycopg://tester@127.0.0.1:{port}/postgres"
    subprocess.run([*as_user, pg_ctl, "-D", data, "-m", "immediate", "stop"], check=True, stdout=-3, timeout=60)
    shutil.rmtree(folder)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path) -> str:
    """A database without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/store.sqlite"
    server = request.getfixturevalue("postgres")
    from sqlalchemy import create_engine, text

    name = f"db{abs(hash(str(tmp_path)))}"
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return f"{server.rpartition('/')[0]}/{name}"


@pytest.fixture
def clock() -> Clock:
    return Clock(1_000_000.0)


POLICY = replace(make_retry_policy(Settings()), jitter=lambda: 1.0)
"""The default policy with the longest delays that it draws."""


def make_store(url: str, clock: Clock, **options) -> Store:
    options = {"max_bytes": 10_000, "lease_s": 120.0, "retry_policy": POLICY, **options}
    return Store(Database(url), clock=clock, **options)


@pytest.fixture
def store(url, clock) -> Iterator[Store]:
    store = make_store(url, clock)
    with store.open():
        yield store


def result(uid="1.9", content=b"report"):
    return Result("1.2", "1.2.88", uid, content)


def analyse(store, *made, order=ORDER):
    """Claim an image and store its results."""
    (pending,) = store.inbox.claim(1)
    store.inbox.analysed(pending, order, "1.2", made)
    return pending


def stored(store) -> int:
    """The number of images and results whose bytes are stored."""
    with store.database.reading() as connection:
        return connection.execute(select(func.count()).select_from(contents)).scalar_one()
