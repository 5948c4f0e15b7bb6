from contextlib import ExitStack, contextmanager
from time import monotonic

import pytest

from app.errors import NotReady, QueueFull, ResultNotFound, UnknownModel
from app.service.admission import Lifecycle, Phase
from app.service.models import ModelRegistry
from app.service.recent import RecentResults
from app.telemetry import Metrics
from tests.clocks import Clock


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
    before = monotonic()
    with lifecycle.admit(5) as job:
        assert before + 5 <= job.deadline <= monotonic() + 5


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def bounded(clock):
    """Room for many, but for none that would wait longer than 10 s."""
    lifecycle = Lifecycle(64, Metrics(), max_wait_s=10, clock=clock)
    lifecycle.ready()
    return lifecycle


@contextmanager
def in_flight(lifecycle, count):
    with ExitStack() as places:
        yield [places.enter_context(lifecycle.admit(60)) for _ in range(count)]


def took(lifecycle, clock, seconds, *, times=1, fails=False, **options):
    for _ in range(times):
        with lifecycle.admit(60, **options) as job:
            clock.now += seconds
            job.watch.record("decode", seconds)
            if fails:
                raise RuntimeError


def come_at_once(lifecycle, clock, count, finish):
    """Requests that arrive together; ``finish`` tells when each of them is done, in seconds from now."""
    begin, places = clock.now, [ExitStack() for _ in range(count)]
    jobs = [place.enter_context(lifecycle.admit(60)) for place in places]
    for index, (job, place) in enumerate(zip(jobs, places, strict=True)):
        clock.now = begin + finish(index)
        job.watch.record("decode", finish(index))
        place.close()


def longest_queue(lifecycle):
    """How many requests are let in now."""
    with ExitStack() as places:
        for count in range(64):
            try:
                places.enter_context(lifecycle.admit(60))
            except QueueFull:
                return count
    return 64


def test_a_queue_is_bounded_by_the_time_it_takes_too(bounded, clock):
    took(bounded, clock, 3.0, times=60)
    with in_flight(bounded, 4), pytest.raises(QueueFull, match="queueing time"), bounded.admit(60):
        pass
    took(bounded, clock, 0.1, times=60)
    with in_flight(bounded, 64):
        pass


@pytest.mark.parametrize(
    "finish",
    [
        pytest.param(lambda index: 0.4 * (index + 1), id="one after the other"),
        pytest.param(lambda index: 0.4 * 20, id="side by side"),
    ],
)
def test_the_pace_is_that_of_one_in_the_queue_and_not_of_the_whole_queue(bounded, clock, finish):
    for _ in range(5):
        come_at_once(bounded, clock, 20, finish)
    assert 18 <= longest_queue(bounded) <= 34  # 10 s / 0.4 s are 25


def test_the_first_requests_do_not_shut_out_the_others_that_came_with_them(bounded, clock):
    took(bounded, clock, 3.0)  # a cold start
    come_at_once(bounded, clock, 8, lambda index: 0.4 * (index + 1))
    assert longest_queue(bounded) >= 25


def test_smooth_maps_and_failures_do_not_shorten_the_queue(bounded, clock):
    took(bounded, clock, 100.0, times=50, updates_estimate=False)
    for _ in range(50):
        with pytest.raises(RuntimeError):
            took(bounded, clock, 100.0, fails=True)
    with in_flight(bounded, 64):
        pass


def test_however_slow_it_was_a_few_are_let_in_and_show_that_it_is_over(bounded, clock):
    took(bounded, clock, 1000.0, times=30)
    assert longest_queue(bounded) == 2
    took(bounded, clock, 0.1, times=100)
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
    shelf = ModelRegistry([first, second])
    assert shelf.get() is first
    assert shelf.get("two") is second
    with pytest.raises(UnknownModel, match="one, two"):
        shelf.get("three")
