"""Stores on real databases: SQLite always, PostgreSQL where it is installed."""

from collections.abc import Iterator
from dataclasses import replace

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
from tests.postgres import postgres_server

ARRIVAL = Arrival("MODALITY", "1.2.1", "1.2.3", b"film" * 100)
ORDER = Order("pacs", ("sr", "sc"), "chest", "rule")
ANALYSIS = Analysis("1.2", "archive", Order("pacs", ("sr",)))
AWAY = Problem("node_unavailable", "no answer")
FAILED = FailedOutput("sr", Problem("object_not_created", "cannot be created (ValueError)", permanent=True))


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a PostgreSQL server of these tests' own."""
    with postgres_server() as server:
        yield server.url


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
