"""What becomes of claimed work when nodes, films and code fail: nothing is lost, nothing ends the loop."""

import asyncio
from dataclasses import replace

import pytest

from app.errors import (
    DecoderCrashed,
    InferenceFailed,
    MedPatchNetError,
    NodeRefused,
    NodeUnavailable,
    StoreUnavailable,
    UnreadableImage,
)
from app.pacs.store.inbox import Order
from app.pacs.store.jobs import Analysis
from app.pacs.store.work_queue import RetryPolicy
from app.pacs.values import Arrival, FoundInstance, Problem, Result
from app.pacs.work.delivery_worker import DeliveryWorker
from app.pacs.work.instance_analysis import Analysed
from app.pacs.work.instance_worker import InstanceWorker
from app.pacs.work.study_worker import StudyWorker
from app.telemetry import Metrics, PacsMetrics
from tests.unit.pacs.store.conftest import Clock, make_store

FILM = Arrival("MODALITY", "1.2.1", "1.2.3", b"film")
ORDER = Order("pacs", ("sr",), "chest", "rule")
FOUND = FoundInstance("1.2", "1.2.5", "1.2.1", "1.2.3")
MADE = Analysed(ORDER, "1.2", "1.2.3", (Result("1.2", "1.2.88", "1.9", b"report"),))
QUICKLY, LONG = 0.05, 30.0
UNFORESEEN = RuntimeError("DOE^JANE")


class Node:
    """An archive and an analyst that answer from a script: what to return, or what to raise."""

    def __init__(self, *script):
        self._script = list(script)
        self.calls = 0

    async def _next(self):
        self.calls += 1
        answer = self._script.pop(0)
        if answer is None:
            await asyncio.sleep(LONG)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def send(self, results):
        return await self._next()

    async def find_films(self, study_uid):
        return await self._next()

    async def fetch(self, study_uid, series_uid, sop_instance_uid):
        return await self._next()

    async def analyse(self, content, order):
        return await self._next()

    def decide(self, content, source):
        return ORDER if content == FILM.content else None


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


def film_worker(store, metrics, analyst, source=None, longest_s=LONG, targets=("pacs",)):
    return InstanceWorker(store.inbox, {"archive": source}, frozenset(targets), analyst, metrics, None, longest_s)


def courier(store, metrics, node, longest_s=LONG):
    return DeliveryWorker("pacs", store.outbox, node, RetryPolicy(jitter=lambda: 1.0), metrics, longest_s)


def owe(store):
    store.inbox.accept(FILM)
    (pending,) = store.inbox.claim(1)
    store.inbox.analysed(pending, ORDER, "1.2", MADE.results)


def test_a_film_becomes_results_that_are_owed(store, metrics):
    store.inbox.accept(FILM)
    assert step(film_worker(store, metrics, Node(MADE)))
    assert counted(metrics.films, "analysed") == 1
    assert [item.result for item in store.outbox.claim("pacs", 9, 99)] == list(MADE.results)


def test_a_film_that_no_rule_names_is_closed(store, metrics):
    store.inbox.accept(replace(FILM, content=b"other"))
    assert step(film_worker(store, metrics, Node()))
    assert counted(metrics.films, "ignored") == 1
    assert store.depths().waiting["instances"] == store.depths().spool_bytes == 0


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (InferenceFailed("the device is gone"), "inference_failed"),
        (UNFORESEEN, MedPatchNetError.code),
        (None, "node_unavailable"),
    ],
    ids=["foreseen", "unforeseen", "too slow"],
)
def test_a_film_whose_analysis_failed_waits_for_another_try(store, metrics, clock, capsys, answer, problem):
    store.inbox.accept(FILM)
    worker = film_worker(store, metrics, Node(answer, MADE), longest_s=QUICKLY if answer is None else LONG)
    assert step(worker)
    assert counted(metrics.films, "retried") == 1
    assert not step(worker)
    clock.now += 10
    assert step(worker)
    assert counted(metrics.films, "analysed") == 1
    assert "DOE" not in "".join(capsys.readouterr())


def test_an_unreadable_film_is_refused_at_once_and_forgotten(store, metrics):
    store.inbox.accept(FILM)
    assert step(film_worker(store, metrics, Node(UnreadableImage("not an image"))))
    assert counted(metrics.films, "refused") == 1
    assert store.depths().spool_bytes == 0


def test_a_film_that_kills_its_decoder_is_refused_at_the_third_try(store, metrics, clock):
    store.inbox.accept(FILM)
    worker = film_worker(store, metrics, Node(*[DecoderCrashed("died")] * 3))
    for _ in range(3):
        assert step(worker)
        clock.now += 10
    assert counted(metrics.films, "retried") == 2
    assert counted(metrics.films, "refused") == 1


def test_other_bytes_under_the_uid_of_a_result_are_refused_and_the_first_stay(store, metrics):
    owe(store)
    store.inbox.accept(replace(FILM, source="OTHER"))
    other = replace(MADE, results=(replace(MADE.results[0], content=b"forged"),))
    assert step(film_worker(store, metrics, Node(other)))
    assert counted(metrics.films, "refused") == 1
    (delivery,) = store.outbox.claim("pacs", 9, 99)
    assert delivery.result.content == b"report"


def test_a_film_that_is_not_the_announced_one_is_refused(store, metrics):
    store.inbox.accept(FILM)
    assert step(film_worker(store, metrics, Node(replace(MADE, sop_instance_uid="1.2.4"))))
    assert counted(metrics.films, "refused") == 1


def test_a_target_that_left_the_configuration_is_given_up_for_an_operator(store, metrics):
    store.inbox.accept(FILM)
    assert step(film_worker(store, metrics, Node(MADE), targets=()))
    assert counted(metrics.films, "dead") == 1
    (letter,) = store.dead_letters()
    assert letter.problem == "unknown_node"


def test_a_job_becomes_films_that_are_fetched(store, metrics):
    store.jobs.open("owner", Analysis("1.2", "archive", ORDER))
    node = Node([FOUND], FILM.content, MADE)
    assert step(StudyWorker(store.jobs, {"archive": node}, LONG))
    assert step(film_worker(store, metrics, node, source=node))
    assert counted(metrics.films, "analysed") == 1


@pytest.mark.parametrize(
    ("answer", "is_dead"),
    [(NodeUnavailable("away"), False), (None, False), (UNFORESEEN, False), (NodeRefused("status 404"), True)],
    ids=["away", "too slow", "unforeseen", "refused"],
)
def test_a_job_whose_look_up_failed_waits_or_is_given_up(store, answer, is_dead):
    store.jobs.open("owner", Analysis("1.2", "archive", ORDER))
    worker = StudyWorker(store.jobs, {"archive": Node(answer)}, QUICKLY if answer is None else LONG)
    assert step(worker)
    assert store.depths().dead["jobs"] == is_dead
    assert store.depths().waiting["jobs"] == (not is_dead)


def test_a_source_that_left_the_configuration_is_told(store):
    store.jobs.open("owner", Analysis("1.2", "archive", ORDER))
    assert step(StudyWorker(store.jobs, {}, LONG))
    assert store.dead_letters()[0].problem == "unknown_node"


def test_a_silent_node_is_left_alone_and_owed_all_the_same(store, metrics, clock, monkeypatch):
    owe(store)
    node = Node(NodeUnavailable("away"), {"1.9": None})
    worker = courier(store, metrics, node)
    assert step(worker)
    clock.now += 10
    assert not step(worker)  # it rests
    assert node.calls == 1
    monkeypatch.setattr("app.pacs.work.delivery_worker.monotonic", lambda: float("inf"))
    assert step(worker)
    assert counted(metrics.objects, "retried") == counted(metrics.objects, "delivered") == 1
    assert store.depths().spool_bytes == 0


@pytest.mark.parametrize("answer", [None, UNFORESEEN, {}], ids=["too slow", "unforeseen", "no word of the object"])
def test_what_a_node_did_not_confirm_is_owed(store, metrics, answer):
    owe(store)
    assert step(courier(store, metrics, Node(answer), QUICKLY if answer is None else LONG))
    assert counted(metrics.objects, "retried") == 1
    assert store.depths().waiting["objects"] == 1


def test_what_a_node_refuses_for_good_is_given_up_for_an_operator(store, metrics):
    owe(store)
    assert step(courier(store, metrics, Node({"1.9": Problem("node_refused", "status 409", permanent=True)})))
    assert counted(metrics.objects, "dead") == 1
    assert store.dead_letters()[0].problem == "node_refused"


def test_an_outcome_is_written_once_the_database_can_be_written_again(store, metrics, monkeypatch):
    owe(store)
    deliver, failures = store.outbox.delivered, [StoreUnavailable("the disk is full")] * 2

    def delivered(items):
        if failures:
            raise failures.pop()
        deliver(items)

    monkeypatch.setattr(store.outbox, "delivered", delivered)
    monkeypatch.setattr("app.pacs.work.retry._TRY_AGAIN_AFTER_S", 0.01)
    assert step(courier(store, metrics, Node({"1.9": None})))
    assert counted(metrics.objects, "delivered") == 1
    assert store.depths().waiting["objects"] == 0
