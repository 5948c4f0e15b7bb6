from contextlib import ExitStack, contextmanager
from time import monotonic

import pytest

from app.errors import NotReady, QueueFull, ResultNotFound, UnknownModel
from app.service.lifecycle import Lifecycle, Phase
from app.service.models import ModelShelf
from app.service.recent import RecentResults
from app.telemetry import Metrics


@pytest.fixture
def lifecycle():
    return Lifecycle(2, Metrics())


def test_nothing_is_admitted_before_the_model_is_ready(lifecycle):
    with pytest.raises(NotReady), lifecycle.admit(1):
        pass


def test_places_are_given_back_also_after_an_error(lifecycle):
    lifecycle.ready()
    for _ in range(3):
        with pytest.raises(RuntimeError), lifecycle.admit(1):
            raise RuntimeError
    with lifecycle.admit(1), lifecycle.admit(1), pytest.raises(QueueFull), lifecycle.admit(1):
        pass
    with lifecycle.admit(5) as job:
        assert 4 < job.deadline - monotonic() <= 5


@pytest.fixture
def bounded():
    """Room for many, but for none that would wait longer than 10 s."""
    lifecycle = Lifecycle(64, Metrics(), max_wait_s=10)
    lifecycle.ready()
    return lifecycle


@contextmanager
def in_flight(lifecycle, count):
    with ExitStack() as places:
        yield [places.enter_context(lifecycle.admit(60)) for _ in range(count)]


def took(lifecycle, seconds, *, fails=False, **options):
    with lifecycle.admit(60, **options) as job:
        job.watch.record("decode", seconds)
        if fails:
            raise RuntimeError


def test_a_queue_is_bounded_by_the_time_it_takes_too(bounded):
    took(bounded, 3.0)
    with in_flight(bounded, 4), pytest.raises(QueueFull, match="take too long"), bounded.admit(60):
        pass
    for _ in range(60):
        took(bounded, 0.1)
    with in_flight(bounded, 64):
        pass


def test_the_pace_is_that_of_one_in_the_queue_and_not_of_the_whole_queue(bounded):
    with in_flight(bounded, 20) as jobs:
        for place, job in enumerate(jobs, 1):
            job.watch.record("decode", 0.4 * place)
    with in_flight(bounded, 26), pytest.raises(QueueFull, match="take too long"), bounded.admit(60):
        pass


def test_smooth_maps_and_failures_do_not_shorten_the_queue(bounded):
    took(bounded, 100.0, is_typical=False)
    with pytest.raises(RuntimeError):
        took(bounded, 100.0, fails=True)
    with in_flight(bounded, 64):
        pass


def test_however_slow_it_was_a_few_are_let_in_and_show_that_it_is_over(bounded):
    took(bounded, 1000.0)
    for _ in range(100):
        took(bounded, 0.1)
    with in_flight(bounded, 3):
        pass


def test_a_draining_service_still_answers_what_reaches_it(lifecycle):
    lifecycle.ready()
    lifecycle.drain()
    assert lifecycle.phase is Phase.DRAINING
    with lifecycle.admit(1):
        pass


def test_the_oldest_results_are_forgotten():
    recent = RecentResults(2)
    for name in ("a", "b", "a", "c"):
        recent.remember(name, None, name)
    assert recent.recall("a") == (None, "a")
    assert recent.recall("c") == (None, "c")
    with pytest.raises(ResultNotFound):
        recent.recall("b")


def test_remembering_can_be_turned_off():
    recent = RecentResults(0)
    recent.remember("a", None, None)
    with pytest.raises(ResultNotFound):
        recent.recall("a")


class Named:
    def __init__(self, name):
        self.manifest = self
        self.name = name


def test_models_are_found_by_name_and_the_first_is_the_default():
    first, second = Named("one"), Named("two")
    shelf = ModelShelf([first, second])
    assert shelf.get() is first
    assert shelf.get("two") is second
    with pytest.raises(UnknownModel, match="one, two"):
        shelf.get("three")
