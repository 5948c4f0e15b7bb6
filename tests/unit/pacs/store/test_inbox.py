"""Accepted images: durable, bounded, and deleted when their results are stored."""

from dataclasses import replace

import pytest

from app.errors import (
    SpoolFull,
)
from tests.unit.pacs.store.conftest import ARRIVAL, analyse, make_store, result, stored


def test_no_bytes_remain_after_delivery(store):
    store.inbox.accept(ARRIVAL)
    analyse(store, result("1.9"), result("1.10"))
    assert stored(store) == 2  # the results; the image is gone
    deliveries = store.outbox.claim("pacs", 10, 1_000_000)
    assert {item.result.sop_instance_uid for item in deliveries} == {"1.9", "1.10"}
    store.outbox.delivered(deliveries)
    assert stored(store) == 0
    assert store.depths().waiting == {"jobs": 0, "instances": 0, "objects": 0}
    assert store.outbox.claim("pacs", 10, 1_000_000) == []


def test_an_identical_waiting_image_is_stored_once(store):
    store.inbox.accept(ARRIVAL)
    store.inbox.accept(ARRIVAL)
    store.inbox.accept(replace(ARRIVAL, source="OTHER"))
    assert store.depths().waiting["instances"] == 2


def test_a_full_spool_refuses_images_until_there_is_room(url, clock):
    store = make_store(url, clock, max_bytes=1000)
    with store.open():
        for number in range(2):
            store.inbox.accept(replace(ARRIVAL, sop_instance_uid=f"1.{number}"))
        with pytest.raises(SpoolFull):
            store.inbox.accept(ARRIVAL)
        assert store.depths().spool_bytes == 800
        for pending in store.inbox.claim(2):
            store.inbox.end(pending, "ignored")
        store.inbox.accept(ARRIVAL)


def test_results_over_the_limit_are_stored_but_no_image_is_claimed(url, clock):
    store = make_store(url, clock, max_bytes=1000)
    with store.open():
        for number in range(2):
            store.inbox.accept(replace(ARRIVAL, sop_instance_uid=f"1.{number}"))
        analyse(store, result(content=b"x" * 5000))
        assert store.inbox.claim(1) == []
        store.outbox.delivered(store.outbox.claim("pacs", 1, 1))
        assert len(store.inbox.claim(1)) == 1


def test_an_instance_that_comes_again_keeps_the_time_of_its_first_acceptance(store, clock):
    store.inbox.accept(ARRIVAL)
    first = store.inbox.claim(1)[0].first_accepted_at
    clock.now += 1
    store.inbox.accept(replace(ARRIVAL, source="OTHER"))
    store.inbox.accept(replace(ARRIVAL, sop_instance_uid="1.77"))
    again, other = sorted(store.inbox.claim(2), key=lambda pending: pending.sop_instance_uid == "1.77")
    assert again.first_accepted_at == first
    assert other.first_accepted_at == first + 1


def test_the_time_of_the_first_acceptance_outlives_its_row_while_a_repetition_can_be_retried(store, clock):
    store.inbox.accept(ARRIVAL)
    first = store.inbox.claim(1)[0]
    store.inbox.end(first, "ignored")
    clock.now += 50
    store.inbox.accept(ARRIVAL)
    clock.now += 60
    store.tidy(retention_s=100)
    (again,) = store.inbox.claim(1)
    assert again.first_accepted_at == first.first_accepted_at
    store.inbox.end(again, "ignored")
    clock.now += 101
    store.tidy(retention_s=100)
    store.inbox.accept(ARRIVAL)
    assert store.inbox.claim(1)[0].first_accepted_at == clock.now
