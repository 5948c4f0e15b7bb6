"""Nothing accepted is lost, nothing is done by two workers, nothing is delivered as two different objects."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import event, func, select

from app.errors import (
    ConfigurationError,
    IdempotencyConflict,
    JobNotFound,
    ResultConflict,
    SpoolFull,
    StoreUnavailable,
)
from app.pacs.store.database import Database
from app.pacs.store.inbox import Order
from app.pacs.store.jobs import Analysis
from app.pacs.store.schema import contents, metadata, objects
from app.pacs.values import Arrival, FoundInstance, Problem, Result
from tests.unit.pacs.store.conftest import make_store

ARRIVAL = Arrival("MODALITY", "1.2.1", "1.2.3", b"film" * 100)
ORDER = Order("pacs", ("sr", "sc"), "chest", "rule")
ANALYSIS = Analysis("1.2", "archive", Order("pacs", ("sr",)))
AWAY = Problem("node_unavailable", "no answer")


def result(uid="1.9", content=b"report"):
    return Result("1.2", "1.2.88", uid, content)


def analyse(store, *made, order=ORDER):
    (pending,) = store.inbox.claim(1)
    store.inbox.analysed(pending, order, "1.2", made)
    return pending


def kept(store) -> int:
    with store.database.reading() as connection:
        return connection.execute(select(func.count()).select_from(contents)).scalar_one()


def test_the_migrations_make_the_tables_that_the_code_declares(store):
    with store.database.reading() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_a_database_is_opened_again_as_it_was_left(url, clock):
    store = make_store(url, clock)
    with store.open():
        store.inbox.accept(ARRIVAL)
    again = make_store(url, clock)
    with again.open():
        (pending,) = again.inbox.claim(5)
        assert again.inbox.content(pending) == ARRIVAL.content


def test_an_image_goes_from_acceptance_to_delivery_and_leaves_no_bytes(store):
    store.inbox.accept(ARRIVAL)
    analyse(store, result("1.9"), result("1.10"))
    assert kept(store) == 2  # the results; the image is gone
    deliveries = store.outbox.claim("pacs", 10, 1_000_000)
    assert {item.result.sop_instance_uid for item in deliveries} == {"1.9", "1.10"}
    store.outbox.delivered(deliveries)
    assert kept(store) == 0
    assert store.depths().waiting == {"jobs": 0, "instances": 0, "objects": 0}
    assert store.outbox.claim("pacs", 10, 1_000_000) == []


def test_the_same_bytes_that_still_wait_are_accepted_once(store):
    store.inbox.accept(ARRIVAL)
    store.inbox.accept(ARRIVAL)
    store.inbox.accept(replace(ARRIVAL, source="OTHER"))
    assert store.depths().waiting["instances"] == 2


def test_a_full_spool_refuses_and_takes_again_once_there_is_room(url, clock):
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


def test_results_over_the_limit_are_kept_but_no_more_images_are_taken_up(url, clock):
    store = make_store(url, clock, max_bytes=1000)
    with store.open():
        for number in range(2):
            store.inbox.accept(replace(ARRIVAL, sop_instance_uid=f"1.{number}"))
        analyse(store, result(content=b"x" * 5000))
        assert store.inbox.claim(1) == []
        store.outbox.delivered(store.outbox.claim("pacs", 1, 1))
        assert len(store.inbox.claim(1)) == 1


def test_claimed_work_is_nobody_elses_until_its_lease_ends(store, clock):
    store.inbox.accept(ARRIVAL)
    (first,) = store.inbox.claim(5)
    assert store.inbox.claim(5) == []
    clock.now += 121
    (second,) = store.inbox.claim(5)
    store.inbox.analysed(first, ORDER, "1.2", [result(content=b"late")])  # its lease is lost: nothing happens
    assert store.outbox.claim("pacs", 5, 1000) == []
    store.inbox.analysed(second, ORDER, "1.2", [result()])
    assert len(store.outbox.claim("pacs", 5, 1000)) == 1


def test_nothing_waits_for_a_clock_that_was_set_back(store, clock):
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


def test_clocks_of_replicas_that_differ_a_little_do_not_take_work_away(store, clock):
    store.inbox.accept(ARRIVAL)
    (pending,) = store.inbox.claim(1)
    clock.now -= 60
    assert store.inbox.claim(1) == []
    store.inbox.fail(pending, AWAY)
    clock.now -= 60
    assert store.inbox.claim(1) == []


def test_a_clock_that_jumps_ahead_gives_up_nothing_that_did_not_fail_all_the_time(store, clock):
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


def test_failures_are_retried_with_growing_pauses_and_given_up_in_the_end(store, clock):
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
    assert kept(store) == 1


def test_chance_spreads_the_pauses():
    from app.pacs.store.work_queue import RetryPolicy

    pauses = {RetryPolicy().pause(3) for _ in range(20)}
    assert len(pauses) > 10
    assert all(4 <= pause <= 8 for pause in pauses)


def test_what_a_node_refuses_is_given_up_at_once_and_can_be_taken_up_again(store):
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


def test_what_an_operator_discards_is_closed_and_its_bytes_are_gone(store):
    store.inbox.accept(ARRIVAL)
    analyse(store, result("1.9"), result("1.10"))
    for delivery in store.outbox.claim("pacs", 5, 1000):
        store.outbox.fail(delivery, replace(AWAY, permanent=True))
    first, second = store.dead_letters()
    assert store.discard([first.id, "unknown"]) == 1
    assert [letter.id for letter in store.dead_letters()] == [second.id]
    assert store.retry() == 1
    store.outbox.delivered(store.outbox.claim("pacs", 5, 1000))
    assert kept(store) == 0
    store.inbox.accept(ARRIVAL)
    analyse(store, result("1.9"), result("1.10"))  # asked for again, it is sent again
    assert len(store.outbox.claim("pacs", 5, 1000)) == 2


def test_a_result_made_again_is_the_same_object_sent_again(store):
    for _ in range(2):
        store.inbox.accept(ARRIVAL)
        analyse(store, result())
        store.outbox.delivered(store.outbox.claim("pacs", 5, 1000))
    with store.database.reading() as connection:
        assert connection.execute(select(func.count()).select_from(objects)).scalar_one() == 1


def test_other_bytes_under_the_same_uid_never_leave(store):
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


def test_a_job_is_followed_from_its_opening_to_its_last_result(store):
    identity = store.jobs.open("alice", ANALYSIS)
    assert store.jobs.report(identity, "alice").state == "waiting"
    (job,) = store.jobs.claim(5)
    store.jobs.expand(job, [FoundInstance("1.2", "1.3", "1.2.1", uid) for uid in ("1.5", "1.6")])
    first, second = sorted(store.inbox.claim(5), key=lambda pending: pending.sop_instance_uid)
    assert (first.job_id, first.order) == (identity, ANALYSIS.order)
    assert store.inbox.content(first) is None
    store.inbox.analysed(first, ANALYSIS.order, "1.2", [result()])
    store.inbox.end(second, "refused", Problem("not_a_chest_radiograph", "no"))
    assert store.jobs.report(identity, "alice").state == "running"
    store.outbox.delivered(store.outbox.claim("pacs", 5, 1000))
    report = store.jobs.report(identity, "alice")
    assert report.state == "done_with_problems"
    assert [(item.state, item.has_problem) for item in report.instances] == [("delivered", False), ("refused", True)]
    assert [item.sop_instance_uid for item in report.instances[0].objects] == ["1.9"]


def test_a_job_is_its_owners_alone(store):
    identity = store.jobs.open("alice", ANALYSIS)
    with pytest.raises(JobNotFound):
        store.jobs.report(identity, "bob")
    with pytest.raises(JobNotFound):
        store.jobs.report("nonsense", "alice")


def test_an_idempotency_key_is_one_job_of_one_owner(store):
    first = store.jobs.open("alice", ANALYSIS, "key")
    assert store.jobs.open("alice", ANALYSIS, "key") == first
    assert store.jobs.open("bob", ANALYSIS, "key") != first
    with pytest.raises(IdempotencyConflict):
        store.jobs.open("alice", replace(ANALYSIS, study_uid="1.3"), "key")


def test_jobs_are_bounded(url, clock):
    store = make_store(url, clock, max_jobs=2)
    with store.open():
        for _ in range(2):
            store.jobs.open("alice", ANALYSIS)
        with pytest.raises(SpoolFull):
            store.jobs.open("alice", ANALYSIS)


def test_what_ended_is_forgotten_after_a_while_and_dead_letters_are_not(store, clock):
    done = store.jobs.open("alice", ANALYSIS)
    (job,) = store.jobs.claim(1)
    store.jobs.expand(job, [FoundInstance("1.2", "1.3", "1.2.1", "1.5")])
    analyse(store, result(), order=ANALYSIS.order)
    store.outbox.delivered(store.outbox.claim("pacs", 5, 1000))
    store.inbox.accept(ARRIVAL)
    (pending,) = store.inbox.claim(1)
    store.inbox.fail(pending, replace(AWAY, permanent=True))
    store.tidy(1000)
    assert store.jobs.report(done, "alice").state == "done"
    clock.now += 1001
    store.tidy(1000)
    with pytest.raises(JobNotFound):
        store.jobs.report(done, "alice")
    with store.database.reading() as connection:
        assert connection.execute(select(func.count()).select_from(objects)).scalar_one() == 0
    assert [letter.id for letter in store.dead_letters()] == [pending.claim.id]


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


def test_an_embedded_database_is_one_processs_alone(tmp_path, clock):
    url = f"sqlite:///{tmp_path}/store.sqlite"
    with (
        make_store(url, clock).open(),
        pytest.raises(ConfigurationError, match="in use"),
        make_store(url, clock).open(),
    ):
        pass


def test_a_full_disk_is_a_clear_error_and_loses_nothing(tmp_path, clock):
    store = make_store(f"sqlite:///{tmp_path}/store.sqlite", clock, max_bytes=10**9)
    with store.open():
        store.inbox.accept(ARRIVAL)
        limit_pages(store, 40)
        with pytest.raises(StoreUnavailable, match="SQLITE_FULL"):
            store.inbox.accept(replace(ARRIVAL, sop_instance_uid="1.4", content=b"x" * 1_000_000))
        assert not store.database.is_well
        (pending,) = store.inbox.claim(5)
        assert store.inbox.content(pending) == ARRIVAL.content
        store.database.probe()
        assert store.database.is_well


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
        assert not store.database.is_well
        is_read_only[0] = 0
        store.database.probe()
        assert store.database.is_well
        assert store.depths().waiting["instances"] == 1


def test_too_little_room_on_the_disk_refuses_new_work_only(tmp_path, clock):
    url = f"sqlite:///{tmp_path}/store.sqlite"
    store = make_store(url, clock)
    with store.open():
        store.inbox.accept(ARRIVAL)
        store.database._reserve_bytes = 1 << 60
        with pytest.raises(SpoolFull, match="disk"):
            store.inbox.accept(ARRIVAL)
        with pytest.raises(SpoolFull, match="disk"):
            store.jobs.open("alice", ANALYSIS)
        assert not store.database.is_well
        analyse(store, result())


@pytest.mark.parametrize(
    "url",
    ["nonsense", "oracle://x", "sqlite:////proc/none/store.sqlite", "sqlite:///file:/nowhere/x?mode=ro&uri=true",
     "postgresql+psycopg://x:secretword@127.0.0.1:1/x"],
)  # fmt: skip
def test_a_database_that_cannot_be_opened_ends_the_start_without_its_password(url):
    with pytest.raises(ConfigurationError) as caught, Database(url).open():
        pass
    assert "secretword" not in caught.value.detail
