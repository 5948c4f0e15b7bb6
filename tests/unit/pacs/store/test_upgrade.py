"""Backup, upgrade, rollback and upgrade again, from a database of the version before: nothing is lost or changed."""

import os
import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import MetaData, Table, create_engine, insert, make_url, select

from app.pacs.store.work_queue import fresh_work
from tests.programs import installed
from tests.unit.pacs.store.conftest import ORDER, make_store, result

RESULT = result("1.9")
JOB = {"owner": "pacs", "study_uid": "1.2", "source": "archive", "target": "pacs", "outputs": "sr"}
INSTANCE = {"source": "MODALITY", "sop_class_uid": "1.2.1"}
OBJECT = {"target": "pacs", "study_uid": "1.2", "sop_class_uid": RESULT.sop_class_uid, "sop_instance_uid": "1.9"}


@pytest.fixture
def copy(url, tmp_path):
    """The documented commands: ``copy.back_up()`` and ``copy.restore()``."""
    return (_SqliteCopy if url.startswith("sqlite") else _PostgresCopy)(url, tmp_path / "copy")


class _SqliteCopy:
    def __init__(self, url: str, file: Path) -> None:
        self._database, self._file = Path(make_url(url).database), file

    def back_up(self) -> None:
        with sqlite3.connect(self._database) as database, sqlite3.connect(self._file) as copy:
            database.backup(copy)

    def restore(self) -> None:
        for name in ("-wal", "-shm"):
            self._database.with_name(self._database.name + name).unlink(missing_ok=True)
        shutil.copyfile(self._file, self._database)


class _PostgresCopy:
    def __init__(self, url: str, file: Path) -> None:
        self._url, self._file = make_url(url), file
        self._folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)

    def back_up(self) -> None:
        self._run("pg_dump", "--format=custom", f"--file={self._file}", self._url.database)

    def restore(self) -> None:
        self._run("dropdb", self._url.database)  # pg_restore --clean does not remove the tables of a newer version
        self._run("createdb", self._url.database)
        self._run("pg_restore", f"--dbname={self._url.database}", self._file)

    def _run(self, program: str, *words: object) -> None:
        server = {"PGHOST": self._url.host, "PGPORT": str(self._url.port), "PGUSER": self._url.username}
        command = [installed(program, *self._folders), *map(str, words)]
        subprocess.run(command, check=True, env=os.environ | server, timeout=120)


def test_an_upgrade_can_be_rolled_back_from_a_backup_and_repeated(url, clock, copy):
    before = _of_the_version_before(url, clock.now)
    copy.back_up()
    assert _work_of_the_new_version(url, clock) == (["1.9"], ["1.3"])
    copy.restore()
    assert _content(url) == before
    assert _work_of_the_new_version(url, clock) == (["1.9"], ["1.3"])  # under the same UIDs: no second object


def _of_the_version_before(url: str, now: float) -> tuple:
    """A job, an instance that waits, and one whose result waits for delivery; returns the content."""
    config = Config()
    config.set_main_option("script_location", "app.pacs.store:migrations")
    scripts = ScriptDirectory.from_config(config)
    revision = scripts.get_revision(scripts.get_current_head()).down_revision
    engine = create_engine(url)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)

        def fill(name: str, **values: object) -> None:
            connection.execute(insert(Table(name, MetaData(), autoload_with=connection)).values(**values))

        fill("jobs", id="job", **JOB, **fresh_work(now))
        fill("instances", id="waiting", **INSTANCE, sop_instance_uid="1.3", sha256="x", **fresh_work(now))
        fill("instances", id="analysed", **INSTANCE, sop_instance_uid="1.4", **fresh_work(now) | {"state": "analysed"})
        fill("objects", id="object", **OBJECT, sha256="y", **fresh_work(now))
        fill("results", instance_id="analysed", object_id="object")
        fill("contents", id="waiting", size=4, bytes=b"film")
        fill("contents", id="object", size=6, bytes=RESULT.content)
    engine.dispose()
    content = _content(url)
    assert content[0] == revision
    return content


def _content(url: str) -> tuple:
    """The revision and all rows of a database."""
    engine = create_engine(url)
    with engine.connect() as connection:
        revision = MigrationContext.configure(connection).get_current_revision()
        tables = MetaData()
        tables.reflect(connection)
        rows = {
            name: sorted(map(str, connection.execute(select(table)).mappings()))
            for name, table in tables.tables.items()
        }
    engine.dispose()
    return revision, rows


def _work_of_the_new_version(url: str, clock) -> tuple[list[str], list[str]]:
    """Upgrade, deliver what waits and analyse what waits; returns the UIDs of delivered objects and of instances."""
    store = make_store(url, clock)
    with store.open():
        deliveries = store.outbox.claim("pacs", 5, 1000)
        assert [item.result.content for item in deliveries] == [RESULT.content]
        (finished,) = store.outbox.delivered(deliveries)
        assert finished.instance_id == "analysed"
        (pending,) = store.inbox.claim(5)
        assert store.inbox.content(pending) == b"film"
        store.inbox.analysed(pending, ORDER, "1.2", [result("1.10")])
        assert len(store.jobs.claim(5)) == 1
    return [item.result.sop_instance_uid for item in deliveries], [pending.sop_instance_uid]
