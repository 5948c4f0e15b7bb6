"""Leases, retries with backoff, and clocks that jump: no work is lost, none is done by two workers."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from app.pacs.store.store import make_retry_policy
from app.settings import Settings
from tests.unit.pacs.store.conftest import ARRIVAL, AWAY, ORDER, result, stored


def test_claimed_work_is_exclusive_until_its_lease_ends(store, clock):
    store.inbox.accept(ARRIVAL)
    (first,) = store.inbox.claim(5)
    assert store.inbox.claim(5) == []
    clock.now += 121
    (second,) = store.inbox.claim(5)
    store.inbox.analysed(first, ORDER, "1.2", [result(content=b"late")])  # its lease is lost: nothing happens
    assert store.outbox.claim("pacs", 5, 1000) == []
    store.inbox.analysed(second, ORDER, "1.2", [result()])
    assert len(store.outbox.claim("pacs", 5, 1000)) == 1


def test_work_is_due_after_the_clock_was_set_back(store, clock):
    for number in range(3):
        store.inbox.accept(replace(ARRIVAL, sop_instance_uid=f"1.{number}"))
    failed, held = store.inbox.claim(2)
    store.inbox.fail(failed, AWAY)
    clock.now -= 86400
    again = store.inbox.claim(5)
    assert len(again) == 3
    assert store.inbox.claim(5) == []
    store.inbox.analysed(held, ORDER, "1.2", [result(content=b"late")])  # its lease went to another
    for number, pending in enumerate(again):
        store.inbox.analysed(pending, ORDER, "1.2", [result(f"1.9.{number}")])
    assert len(store.outbox.claim("pacs", 5, 10_000)) == 3


def test_small_clock_differences_between_replicas_do_not_break_a_lease(store, clock):
    store.inbox.accept(ARRIVAL)
    (pending,) = store.inbox.claim(1)
    clock.now -= 60
    assert store.inbox.claim(1) == []
    store.inbox.fail(pending, AWAY)
    clock.now -= 60
    assert store.inbox.claim(1) == []


def test_a_clock_that_jumps_ahead_gives_nothing_up_after_one_failure(store, clock):
    store.inbox.accept(ARRIVAL)
    (pending,) = store.inbox.claim(1)
    clock.now += 10 * 86400
    assert store.inbox.fail(pending, AWAY) == "waiting"


def test_many_workers_never_claim_the_same_image(store):
    for number in range(40):
        store.inbox.accept(replace(ARRIVAL, sop_instance_uid=f"1.{number}", content=b"x"))
    with ThreadPoolExecutor(8) as pool:
        claims = [pending for batch in pool.map(lambda _: store.inbox.claim(3), range(20)) for pending in batch]
    assert len(claims) == len({pending.claim.id for pending in claims}) == 40


def test_failures_are_retried_with_exponential_backoff_and_given_up_at_the_end(store, clock):
    store.inbox.accept(ARRIVAL)
    for pause in (1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300):
        (pending,) = store.inbox.claim(1)
        assert store.inbox.fail(pending, AWAY) == "waiting"
        clock.now += pause - 0.5
        assert store.inbox.claim(1) == []
        clock.now += 0.6
    (pending,) = store.inbox.claim(1)
    clock.now += 3 * 86400
    assert store.inbox.fail(pending, AWAY) == "dead"
    (letter,) = store.dead_letters()
    assert (letter.queue, letter.node, letter.problem, letter.detail) == (
        "instances",
        "MODALITY",
        AWAY.code,
        AWAY.detail,
    )
    assert stored(store) == 1


def test_delays_are_random():
    pauses = {make_retry_policy(Settings()).delay(3) for _ in range(20)}
    assert len(pauses) > 10
    assert all(4 <= pause <= 8 for pause in pauses)
