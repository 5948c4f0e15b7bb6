"""Migrations, exclusive use, and clear errors of a full, read-only or unavailable database."""

from dataclasses import replace

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, event, insert

from app.errors import (
    ConfigurationError,
    SpoolFull,
    StoreUnavailable,
)
from app.pacs.store.database import Database
from app.pacs.store.schema import contents, instances, metadata
from app.pacs.store.work_queue import fresh_work
from tests.unit.pacs.store.conftest import ANALYSIS, ARRIVAL, FAILED, ORDER, analyse, make_store, result


def test_migrations_create_the_declared_tables(store):
    with store.database.reading() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_a_reopened_database_has_its_earlier_content(url, clock):
    store = make_store(url, clock)
    with store.open():
        store.inbox.accept(ARRIVAL)
    again = make_store(url, clock)
    with again.open():
        (pending,) = again.inbox.claim(5)
        assert again.inbox.content(pending) == ARRIVAL.content


def test_an_embedded_database_is_used_by_one_process_only(tmp_path, clock):
    url = f"sqlite:///{tmp_path}/store.sqlite"
    with (
        make_store(url, clock).open(),
        pytest.raises(ConfigurationError, match="in use"),
        make_store(url, clock).open(),
    ):
        pass


def test_a_killed_process_leaves_nothing_claimed(tmp_path, clock):
    url = f"sqlite:///{tmp_path}/store.sqlite"
    store = make_store(url, clock)
    with store.open():
        store.inbox.accept(ARRIVAL)
        assert len(store.inbox.claim(1)) == 1
    with make_store(url, clock).open():
        pass
    again = make_store(url, clock)
    with again.open():
        assert len(again.inbox.claim(1)) == 1


def test_a_full_disk_is_a_clear_error_and_loses_nothing(tmp_path, clock):
    store = make_store(f"sqlite:///{tmp_path}/store.sqlite", clock, max_bytes=10**9)
    with store.open():
        store.inbox.accept(ARRIVAL)
        limit_pages(store, 40)
        with pytest.raises(StoreUnavailable, match="SQLITE_FULL"):
            store.inbox.accept(replace(ARRIVAL, sop_instance_uid="1.4", content=b"x" * 1_000_000))
        assert not store.database.is_healthy
        (pending,) = store.inbox.claim(5)
        assert store.inbox.content(pending) == ARRIVAL.content
        store.database.probe()
        assert store.database.is_healthy


def limit_pages(store, pages):
    """What a full disk is to SQLite: no further page can be had."""

    def shrink(connection, record, proxy):
        connection.execute(f"PRAGMA max_page_count={pages}")

    event.listen(store.database._engine, "checkout", shrink)


def test_a_read_only_database_is_a_clear_error_and_recovers(tmp_path, clock):
    store = make_store(f"sqlite:///{tmp_path}/store.sqlite", clock)
    with store.open():
        store.inbox.accept(ARRIVAL)
        is_read_only = [1]
        event.listen(
            store.database._engine,
            "checkout",
            lambda connection, record, proxy: connection.execute(f"PRAGMA query_only={is_read_only[0]}"),
        )
        with pytest.raises(StoreUnavailable, match="SQLITE_READONLY"):
            store.inbox.accept(replace(ARRIVAL, sop_instance_uid="1.4"))
        with pytest.raises(StoreUnavailable):
            store.database.probe()
        assert not store.database.is_healthy
        is_read_only[0] = 0
        store.database.probe()
        assert store.database.is_healthy
        assert store.depths().waiting["instances"] == 1


def test_only_the_owner_can_read_the_files_of_a_database_also_of_an_earlier_one(tmp_path, clock):
    (tmp_path / "store.sqlite").touch(0o644)
    store = make_store(f"sqlite:///{tmp_path}/store.sqlite", clock)
    with store.open():
        store.inbox.accept(ARRIVAL)
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert {"store.sqlite", "store.sqlite-wal", "store.sqlite.lock"} <= set(modes)
    assert set(modes.values()) == {0o600}


def test_a_disk_without_reserve_refuses_new_work_only(tmp_path, clock):
    url = f"sqlite:///{tmp_path}/store.sqlite"
    store = make_store(url, clock)
    with store.open():
        store.inbox.accept(ARRIVAL)
        store.database._reserve_bytes = 1 << 60
        with pytest.raises(SpoolFull, match="disk"):
            store.inbox.accept(ARRIVAL)
        with pytest.raises(SpoolFull, match="disk"):
            store.jobs.open("alice", ANALYSIS)
        assert not store.database.is_healthy
        analyse(store, result())


@pytest.mark.parametrize(
    "url",
    ["nonsense", "oracle://x", "sqlite:////proc/none/store.sqlite", "sqlite:///file:/nowhere/x?mode=ro&uri=true",
     "postgresql+psycopg://x:secretword@127.0.0.1:1/x"],
)  # fmt: skip
def test_the_error_of_an_unusable_database_does_not_contain_its_password(url):
    with pytest.raises(ConfigurationError) as caught, Database(url).open():
        pass
    assert "secretword" not in caught.value.detail


def test_a_database_of_the_first_version_is_migrated_with_its_content(url, clock):
    engine = create_engine(url)
    with engine.begin() as connection:
        migrate_to(connection, "0001")
        waiting = {"source": "MODALITY", "sop_class_uid": "1.2.1", "sop_instance_uid": "1.2.3", "sha256": "x"}
        connection.execute(insert(instances).values(id="kept", **waiting, **fresh_work(clock.now)))
        connection.execute(insert(contents).values(id="kept", size=4, bytes=b"film"))
    engine.dispose()
    store = make_store(url, clock)
    with store.open():
        (pending,) = store.inbox.claim(5)
        assert store.inbox.content(pending) == b"film"
        store.inbox.analysed(pending, ORDER, "1.2", [result()], [FAILED])
        assert [letter.id for letter in store.dead_letters()] == ["kept"]


def migrate_to(connection, revision):
    config = Config()
    config.set_main_option("script_location", "app.pacs.store:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
