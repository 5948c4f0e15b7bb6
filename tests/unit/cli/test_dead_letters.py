"""The dead letter commands, on a real store."""

import re

import pytest
from typer.testing import CliRunner

from app.cli.main import app
from app.pacs.store.inbox import Order
from app.pacs.store.store import make_store
from app.pacs.values import Arrival, Problem, Result
from app.settings import Settings

STUDY, OBJECT = "1.2.840.1", "1.2.840.1.9"


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A store with one permanently refused result."""
    monkeypatch.setenv("MEDPATCHNET_DATABASE_URL", f"sqlite:///{tmp_path}/store.sqlite")
    store = make_store(Settings())
    with store.open():
        store.inbox.accept(Arrival("MODALITY", "1.2.840.1.1", "1.2.840.10008.5.1.4.1.1.1", b"film"))
        (pending,) = store.inbox.claim(1)
        made = [Result(STUDY, "1.2.840.10008.5.1.4.1.1.88.33", OBJECT, b"report")]
        store.inbox.analysed(pending, Order("pacs", ("sr",)), STUDY, made)
        (delivery,) = store.outbox.claim("pacs", 1, 1_000)
        store.outbox.fail(delivery, Problem("node_refused", "status 409", permanent=True))
        yield store


def run(*arguments):
    return CliRunner().invoke(app, ["outbox", *arguments])


def listed_id(store) -> str:
    (letter,) = store.dead_letters()
    return letter.id


def test_dead_letters_are_listed_without_identifiers(store):
    done = run("list")
    assert done.exit_code == 0
    assert "dead: 1" in done.output
    assert re.search(r"objects.+pacs.+node_refused.+status 409", done.output)
    assert listed_id(store) in done.output
    assert OBJECT not in done.output
    assert OBJECT in run("list", "--subjects").output


@pytest.mark.parametrize("by_id", [True, False])
def test_retry_requeues_dead_letters(store, by_id):
    done = run("retry", listed_id(store) if by_id else "--all")
    assert (done.exit_code, done.output.strip()) == (0, "1 requeued")
    assert store.dead_letters() == []
    (again,) = store.outbox.claim("pacs", 1, 1_000)
    assert again.result.content == b"report"


def test_retry_requires_ids_or_all(store):
    assert run("retry").exit_code == 2
    assert run("retry", listed_id(store), "--all").exit_code == 2
    assert len(store.dead_letters()) == 1


def test_a_discarded_letter_is_neither_listed_nor_requeued(store):
    done = run("discard", listed_id(store))
    assert (done.exit_code, done.output.strip()) == (0, "1 discarded")
    assert "dead: 0" in run("list").output
    assert run("retry", "--all").output.strip() == "0 requeued"
    assert store.depths().spool_bytes == 0


def test_an_unavailable_database_ends_the_command_with_a_clear_message(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("MEDPATCHNET_DATABASE_URL", f"sqlite:///{tmp_path}/file/store.sqlite")
    done = run("list")
    assert done.exit_code == 1
    assert "Traceback" not in done.output
