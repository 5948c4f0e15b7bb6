"""Jobs: followed by their owner, idempotent, bounded, deleted after the retention time."""

from dataclasses import replace

import pytest
from sqlalchemy import func, select

from app.errors import (
    IdempotencyConflict,
    JobNotFound,
    SpoolFull,
)
from app.pacs.store.schema import objects
from app.pacs.values import FoundInstance, Problem
from tests.unit.pacs.store.conftest import ANALYSIS, ARRIVAL, AWAY, analyse, make_store, result


def test_the_report_follows_a_job_to_its_last_result(store):
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


def test_only_its_owner_sees_a_job(store):
    identity = store.jobs.open("alice", ANALYSIS)
    with pytest.raises(JobNotFound):
        store.jobs.report(identity, "bob")
    with pytest.raises(JobNotFound):
        store.jobs.report("nonsense", "alice")


def test_an_idempotency_key_gives_one_job_of_one_owner(store):
    first = store.jobs.open("alice", ANALYSIS, "key")
    assert store.jobs.open("alice", ANALYSIS, "key") == first
    assert store.jobs.open("bob", ANALYSIS, "key") != first
    with pytest.raises(IdempotencyConflict):
        store.jobs.open("alice", replace(ANALYSIS, study_uid="1.3"), "key")


def test_the_number_of_waiting_jobs_is_limited(url, clock):
    store = make_store(url, clock, max_jobs=2)
    with store.open():
        for _ in range(2):
            store.jobs.open("alice", ANALYSIS)
        with pytest.raises(SpoolFull):
            store.jobs.open("alice", ANALYSIS)


def test_finished_work_is_deleted_after_the_retention_time_and_dead_letters_are_not(store, clock):
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
