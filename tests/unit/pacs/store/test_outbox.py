"""Results: never two different objects under one UID, dead letters for the operator."""

from dataclasses import replace

import pytest
from sqlalchemy import func, select

from app.errors import (
    ResultConflict,
)
from app.pacs.store.schema import objects
from app.pacs.values import Problem
from tests.unit.pacs.store.conftest import ARRIVAL, AWAY, analyse, result, stored


def test_a_permanent_failure_is_dead_at_once_and_can_be_retried(store):
    store.inbox.accept(ARRIVAL)
    analyse(store, result())
    (delivery,) = store.outbox.claim("pacs", 5, 1000)
    assert store.outbox.fail(delivery, Problem("node_refused", "status 409", permanent=True)) == "dead"
    assert store.outbox.claim("pacs", 5, 1000) == []
    (letter,) = store.dead_letters()
    assert store.retry(["unknown"]) == 0
    assert store.retry([letter.id]) == 1
    (again,) = store.outbox.claim("pacs", 5, 1000)
    assert again.result.content == b"report"


def test_a_discarded_letter_is_closed_and_its_bytes_are_deleted(store):
    store.inbox.accept(ARRIVAL)
    analyse(store, result("1.9"), result("1.10"))
    for delivery in store.outbox.claim("pacs", 5, 1000):
        store.outbox.fail(delivery, replace(AWAY, permanent=True))
    first, second = store.dead_letters()
    assert store.discard([first.id, "unknown"]) == 1
    assert [letter.id for letter in store.dead_letters()] == [second.id]
    assert store.retry() == 1
    store.outbox.delivered(store.outbox.claim("pacs", 5, 1000))
    assert stored(store) == 0
    store.inbox.accept(ARRIVAL)
    analyse(store, result("1.9"), result("1.10"))  # asked for again, it is sent again
    assert len(store.outbox.claim("pacs", 5, 1000)) == 2


def test_a_repeated_result_is_the_same_object_sent_again(store):
    for _ in range(2):
        store.inbox.accept(ARRIVAL)
        analyse(store, result())
        store.outbox.delivered(store.outbox.claim("pacs", 5, 1000))
    with store.database.reading() as connection:
        assert connection.execute(select(func.count()).select_from(objects)).scalar_one() == 1


def test_different_bytes_under_the_same_uid_are_never_sent(store):
    store.inbox.accept(ARRIVAL)
    analyse(store, result())
    store.inbox.accept(replace(ARRIVAL, content=b"changed"))
    with pytest.raises(ResultConflict):
        analyse(store, result("1.10"), result(content=b"changed"))
    (delivery,) = store.outbox.claim("pacs", 5, 1000)  # and nothing of the second attempt is there
    assert delivery.result == result()


def test_objects_are_claimed_by_target_and_by_size(store):
    store.inbox.accept(ARRIVAL)
    analyse(store, *(result(f"1.{number}", b"x" * 400) for number in range(3)))
    assert store.outbox.claim("elsewhere", 5, 1000) == []
    assert len(store.outbox.claim("pacs", 5, 500)) == 2
    assert len(store.outbox.claim("pacs", 5, 500)) == 1
