"""Claimed work when nodes, instances and code fail: nothing is lost, nothing ends the loop."""

import asyncio
from dataclasses import replace

import pytest

from app.errors import (
    DecoderCrashed,
    InferenceFailed,
    NodeRefused,
    NodeUnavailable,
    StoreUnavailable,
    StudyNotFound,
    UnreadableImage,
)
from app.pacs.store.inbox import Order
from app.pacs.store.jobs import Analysis
from app.pacs.values import Arrival, FailedOutput, FoundInstance, FoundStudy, Problem, Result
from app.pacs.work.delivery_worker import DeliveryWorker
from app.pacs.work.instance_analysis import Analysed
from app.pacs.work.instance_worker import InstanceWorker
from app.pacs.work.study_worker import StudyWorker
from app.telemetry import Metrics, PacsMetrics
from tests.unit.pacs.store.conftest import POLICY, Clock, make_store

ARRIVAL = Arrival("MODALITY", "1.2.1", "1.2.3", b"image")
ORDER = Order("pacs", ("sr",), "chest", "rule")
FOUND = FoundStudy((FoundInstance("1.2", "1.2.5", "1.2.1", "1.2.3"),))
MADE = Analysed(ORDER, "1.2", "1.2.3", (Result("1.2", "1.2.88", "1.9", b"report"),))
SHORT_S, LONG_S = 0.05, 30.0
UNEXPECTED = RuntimeError("DOE^JANE")


class Node:
    """An archive and an analyzer with scripted results: a value to return, an error to raise, or None for a timeout."""

    def __init__(self, *script):
        self._script = list(script)
        self.calls = 0

    async def _next(self):
        self.calls += 1
        answer = self._script.pop(0)
        if answer is None:
            await asyncio.sleep(LONG_S)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def send(self, results):
        return await self._next()

    async def find_instances(self, study_uid):
        return await self._next()

    async def fetch(self, study_uid, series_uid, sop_instance_uid):
        return await self._next()

    async def analyse(self, content, order, analysed_at):
        return await self._next()

    def decide(self, content, source):
        return ORDER if content == ARRIVAL.content else None


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store(tmp_path, clock):
    store = make_store(f"sqlite:///{tmp_path}/store.sqlite", clock)
    with store.open():
        yield store


@pytest.fixture
def metrics():
    return PacsMetrics(Metrics())


def counted(counter, outcome):
    (metric,) = counter.collect()
    (value,) = (
        item.value for item in metric.samples if item.name.endswith("_total") and item.labels["outcome"] == outcome
    )
    return value


def step(worker):
    return asyncio.run(worker.step())


def instance_worker(store, metrics, analyzer, source=None, timeout_s=LONG_S, targets=("pacs",)):
    return InstanceWorker(store.inbox, {"archive": source}, frozenset(targets), analyzer, metrics, None, timeout_s)


def study_worker(store, metrics, source, timeout_s=LONG_S):
    return StudyWorker(store.jobs, {"archive": source}, metrics, timeout_s)


def delivery_worker(store, metrics, node, timeout_s=LONG_S):
    return DeliveryWorker("pacs", store.outbox, node, POLICY, metrics, timeout_s)


def queue_result(store):
    store.inbox.accept(ARRIVAL)
    (pending,) = store.inbox.claim(1)
    store.inbox.analysed(pending, ORDER, "1.2", MADE.results)


def test_an_analysed_instance_has_results_in_the_outbox(store, metrics):
    store.inbox.accept(ARRIVAL)
    assert step(instance_worker(store, metrics, Node(MADE)))
    assert counted(metrics.films, "analysed") == 1
    assert [item.result for item in store.outbox.claim("pacs", 9, 99)] == list(MADE.results)


def test_an_instance_without_a_matching_rule_is_ignored(store, metrics):
    store.inbox.accept(replace(ARRIVAL, content=b"other"))
    assert step(instance_worker(store, metrics, Node()))
    assert counted(metrics.films, "ignored") == 1
    assert store.depths().waiting["instances"] == store.depths().spool_bytes == 0


@pytest.mark.parametrize(
    "answer", [InferenceFailed("the device is gone"), UNEXPECTED, None], ids=["domain error", "unexpected", "too slow"]
)
def test_a_failed_analysis_is_retried(store, metrics, clock, capsys, answer):
    store.inbox.accept(ARRIVAL)
    worker = instance_worker(store, metrics, Node(answer, MADE), timeout_s=SHORT_S if answer is None else LONG_S)
    assert step(worker)
    assert counted(metrics.films, "retried") == 1
    assert not step(worker)
    clock.now += 10
    assert step(worker)
    assert counted(metrics.films, "analysed") == 1
    assert "DOE" not in "".join(capsys.readouterr())


def test_an_unreadable_instance_is_refused_at_once_and_its_bytes_are_deleted(store, metrics):
    store.inbox.accept(ARRIVAL)
    assert step(instance_worker(store, metrics, Node(UnreadableImage("not an image"))))
    assert counted(metrics.films, "refused") == 1
    assert store.depths().spool_bytes == 0


def test_an_instance_that_crashes_its_decoder_is_refused_at_the_third_attempt(store, metrics, clock):
    store.inbox.accept(ARRIVAL)
    worker = instance_worker(store, metrics, Node(*[DecoderCrashed("died")] * 3))
    for _ in range(3):
        assert step(worker)
        clock.now += 10
    assert counted(metrics.films, "retried") == 2
    assert counted(metrics.films, "refused") == 1


def test_an_instance_that_always_causes_an_unexpected_error_is_a_dead_letter_at_the_third_attempt(
    store, metrics, clock, capsys
):
    store.inbox.accept(ARRIVAL)
    worker = instance_worker(store, metrics, Node(*[UNEXPECTED] * 3))
    for _ in range(3):
        assert step(worker)
        clock.now += 10
    assert (counted(metrics.films, "retried"), counted(metrics.films, "dead")) == (2, 1)
    (letter,) = store.dead_letters()
    assert letter.problem == "analysis_failed"
    assert letter.detail == "the analysis ended with an unexpected error (RuntimeError)"
    assert "DOE" not in "".join(capsys.readouterr())


def test_a_kind_that_cannot_be_created_is_a_dead_letter_at_once_and_the_others_are_sent(store, metrics):
    problem = Problem("object_not_created", "cannot be created (ValueError)", permanent=True)
    store.inbox.accept(ARRIVAL)
    assert step(instance_worker(store, metrics, Node(replace(MADE, failed=(FailedOutput("sc", problem),)))))
    assert counted(metrics.films, "incomplete") == 1
    assert [item.result for item in store.outbox.claim("pacs", 9, 99)] == list(MADE.results)
    (letter,) = store.dead_letters()
    assert (letter.problem, letter.detail) == ("object_not_created", "sc: cannot be created (ValueError)")


def test_different_bytes_under_the_uid_of_a_result_are_refused_and_the_first_are_kept(store, metrics):
    queue_result(store)
    store.inbox.accept(replace(ARRIVAL, source="OTHER"))
    other = replace(MADE, results=(replace(MADE.results[0], content=b"forged"),))
    assert step(instance_worker(store, metrics, Node(other)))
    assert counted(metrics.films, "refused") == 1
    (delivery,) = store.outbox.claim("pacs", 9, 99)
    assert delivery.result.content == b"report"


def test_an_instance_with_another_uid_than_announced_is_refused(store, metrics):
    store.inbox.accept(ARRIVAL)
    assert step(instance_worker(store, metrics, Node(replace(MADE, sop_instance_uid="1.2.4"))))
    assert counted(metrics.films, "refused") == 1


def test_a_target_missing_from_the_configuration_is_a_dead_letter(store, metrics):
    store.inbox.accept(ARRIVAL)
    assert step(instance_worker(store, metrics, Node(MADE), targets=()))
    assert counted(metrics.films, "dead") == 1
    (letter,) = store.dead_letters()
    assert letter.problem == "unknown_node"


def test_the_instances_of_a_job_are_retrieved_and_analysed(store, metrics):
    store.jobs.open("owner", Analysis("1.2", "archive", ORDER))
    node = Node(FOUND, ARRIVAL.content, MADE)
    assert step(study_worker(store, metrics, node))
    assert step(instance_worker(store, metrics, node, source=node))
    assert counted(metrics.films, "analysed") == 1


def test_the_job_of_an_unknown_study_is_not_found_and_not_a_dead_letter(store, metrics):
    identity = store.jobs.open("owner", Analysis("1.2", "archive", ORDER))
    assert step(study_worker(store, metrics, Node(StudyNotFound("no such study"))))
    assert store.jobs.report(identity, "owner").state == "not_found"
    assert counted(metrics.jobs, "not_found") == 1
    assert store.dead_letters() == []


def test_skipped_rows_of_a_query_are_reported_by_the_job(store, metrics):
    skipped = Problem("invalid_query_response", "an instance without a valid SOP Instance UID (1)")
    identity = store.jobs.open("owner", Analysis("1.2", "archive", ORDER))
    assert step(study_worker(store, metrics, Node(replace(FOUND, skipped=skipped))))
    report = store.jobs.report(identity, "owner")
    assert (report.problem, len(report.instances)) == (skipped, 1)
    assert counted(metrics.jobs, "expanded") == 1


@pytest.mark.parametrize(
    ("answer", "is_dead"),
    [(NodeUnavailable("away"), False), (None, False), (UNEXPECTED, False), (NodeRefused("status 404"), True)],
    ids=["away", "too slow", "unexpected", "refused"],
)
def test_a_failed_query_is_retried_or_given_up(store, metrics, answer, is_dead):
    store.jobs.open("owner", Analysis("1.2", "archive", ORDER))
    worker = study_worker(store, metrics, Node(answer), SHORT_S if answer is None else LONG_S)
    assert step(worker)
    assert store.depths().dead["jobs"] == is_dead
    assert counted(metrics.jobs, "dead" if is_dead else "retried") == 1
    assert store.depths().waiting["jobs"] == (not is_dead)


def test_a_source_missing_from_the_configuration_is_a_dead_letter(store, metrics):
    store.jobs.open("owner", Analysis("1.2", "archive", ORDER))
    assert step(StudyWorker(store.jobs, {}, metrics, LONG_S))
    assert store.dead_letters()[0].problem == "unknown_node"


def test_delivery_pauses_while_a_node_is_unavailable(store, metrics, clock, monkeypatch):
    queue_result(store)
    node = Node(NodeUnavailable("away"), {"1.9": None})
    worker = delivery_worker(store, metrics, node)
    assert step(worker)
    clock.now += 10
    assert not step(worker)  # it pauses
    assert node.calls == 1
    monkeypatch.setattr("app.pacs.work.delivery_worker.monotonic", lambda: float("inf"))
    assert step(worker)
    assert counted(metrics.objects, "retried") == counted(metrics.objects, "delivered") == 1
    assert store.depths().spool_bytes == 0


@pytest.mark.parametrize("answer", [None, UNEXPECTED, {}], ids=["too slow", "unexpected", "no outcome of the object"])
def test_an_unconfirmed_object_is_retried(store, metrics, answer):
    queue_result(store)
    assert step(delivery_worker(store, metrics, Node(answer), SHORT_S if answer is None else LONG_S))
    assert counted(metrics.objects, "retried") == 1
    assert store.depths().waiting["objects"] == 1


def test_a_permanently_refused_object_is_a_dead_letter(store, metrics):
    queue_result(store)
    assert step(delivery_worker(store, metrics, Node({"1.9": Problem("node_refused", "status 409", permanent=True)})))
    assert counted(metrics.objects, "dead") == 1
    assert store.dead_letters()[0].problem == "node_refused"


def test_an_outcome_is_persisted_when_the_database_is_available_again(store, metrics, monkeypatch):
    queue_result(store)
    deliver, failures = store.outbox.delivered, [StoreUnavailable("the disk is full")] * 2

    def delivered(items):
        if failures:
            raise failures.pop()
        return deliver(items)

    monkeypatch.setattr(store.outbox, "delivered", delivered)
    monkeypatch.setattr("app.pacs.work.retry._PERSIST_RETRY_S", 0.01)
    assert step(delivery_worker(store, metrics, Node({"1.9": None})))
    assert counted(metrics.objects, "delivered") == 1
    assert store.depths().waiting["objects"] == 0
