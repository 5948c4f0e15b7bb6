import asyncio
import threading
from time import monotonic, sleep

import pytest
import torch
from structlog.testing import capture_logs

from app.errors import DeadlineExceeded, Draining, InferenceFailed, InvalidModelOutput, QueueFull
from app.inference.items import Lane
from app.inference.scheduler import Scheduler


class GatedEngine:
    """Answers each patch with its mean and its maximum; while the gate is closed, a call waits inside the engine."""

    device = "cpu"
    precision = "float32"

    def __init__(self):
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.calls = []
        self.error = None
        self.answer = None

    def patch_logits(self, patches):
        self.entered.set()
        assert self.gate.wait(300)
        self.calls.append(patches.shape[0])
        if self.error:
            raise self.error
        if self.answer is not None:
            return self.answer
        return torch.stack((patches.mean(dim=(1, 2, 3)), patches.amax(dim=(1, 2, 3))), dim=1)


@pytest.fixture
def engine():
    return GatedEngine()


@pytest.fixture
def make(engine):
    made = []

    def build(**options):
        chosen = {"batch_patches": 10, "batch_wait_s": 0.0, "queue_patches": 30, "on_batch": lambda items: None}
        chosen |= {"map_patches": 10, "on_fault": lambda fault: None}
        scheduler = Scheduler([engine], **{**chosen, **options})
        scheduler.start()
        made.append(scheduler)
        return scheduler

    yield build
    engine.gate.set()
    for scheduler in made:
        scheduler.close()


def patches(count, value=0.5):
    return torch.full((count, 1, 3, 3), value)


def soon(seconds=300.0):
    return monotonic() + seconds


def run(coroutine):
    return asyncio.run(coroutine)


async def hold(scheduler, engine):
    """Occupy the engine with one item, so that what follows has to queue."""
    engine.gate.clear()
    engine.entered.clear()
    task = asyncio.create_task(scheduler.submit(patches(1), soon()))
    await asyncio.to_thread(engine.entered.wait, 5)
    return task


def test_every_item_gets_its_own_rows(make, engine):
    scheduler = make()

    async def scenario():
        first = await hold(scheduler, engine)
        rest = [asyncio.create_task(scheduler.submit(patches(2, value), soon())) for value in (0.1, 0.2, 0.3)]
        await asyncio.sleep(0)
        engine.gate.set()
        return await first, [await task for task in rest]

    _, answers = run(scenario())
    for value, answer in zip((0.1, 0.2, 0.3), answers, strict=True):
        torch.testing.assert_close(answer.logits, torch.full((2, 2), value))
    assert engine.calls == [1, 6]


def test_batches_are_counted_in_patches(make, engine):
    sizes = []
    scheduler = make(batch_patches=10, on_batch=sizes.append)

    async def scenario():
        first = await hold(scheduler, engine)
        rest = [asyncio.create_task(scheduler.submit(patches(4), soon())) for _ in range(5)]
        await asyncio.sleep(0)
        engine.gate.set()
        await asyncio.gather(first, *rest)

    run(scenario())
    assert engine.calls == [1, 8, 8, 4]
    assert sizes == [1, 2, 2, 1]


def test_an_item_larger_than_a_batch_runs_alone(make, engine):
    scheduler = make(batch_patches=10)
    assert run(scheduler.submit(patches(25), soon())).logits.shape == (25, 2)
    assert engine.calls == [25]


def test_an_idle_network_waits_for_company(make, engine):
    scheduler = make(batch_wait_s=600.0)

    async def scenario():
        await asyncio.gather(*(scheduler.submit(patches(count), soon()) for count in (3, 3, 4)))

    run(scenario())
    assert engine.calls == [10]


def test_a_full_batch_does_not_wait_for_company(make):
    scheduler = make(batch_wait_s=600.0)
    assert run(scheduler.submit(patches(10), soon())).logits.shape == (10, 2)


def test_times_are_told_apart(make, engine):
    scheduler = make()

    async def scenario():
        task = await hold(scheduler, engine)
        sleep(0.5)
        engine.gate.set()
        return await task

    answer = run(scenario())
    assert answer.inference_seconds >= 0.5
    assert answer.queue_seconds < answer.inference_seconds


def test_a_full_queue_refuses_at_once_and_keeps_what_it_has(make, engine):
    scheduler = make(queue_patches=6)

    async def scenario():
        first = await hold(scheduler, engine)
        waiting = asyncio.create_task(scheduler.submit(patches(6), soon()))
        await asyncio.sleep(0)
        assert scheduler.queue_depth == 6
        with pytest.raises(QueueFull):
            await scheduler.submit(patches(1), soon())
        engine.gate.set()
        return await first, await waiting

    assert run(scenario())[1].logits.shape == (6, 2)
    assert scheduler.queue_depth == 0


def test_an_empty_lane_takes_an_item_larger_than_the_queue(make):
    assert run(make(queue_patches=2).submit(patches(5), soon())).logits.shape == (5, 2)


def test_a_full_background_lane_does_not_refuse_predictions(make, engine):
    scheduler = make(queue_patches=5)

    async def scenario():
        first = await hold(scheduler, engine)
        tasks = [asyncio.create_task(scheduler.submit(patches(5), soon(), lane)) for lane in reversed(Lane)]
        await asyncio.sleep(0)
        engine.gate.set()
        return await asyncio.gather(first, *tasks)

    assert len(run(scenario())) == 3


def test_a_prediction_waits_for_no_more_of_a_map_than_one_call_may_hold(make, engine):
    scheduler = make(batch_patches=10, map_patches=4)

    async def scenario():
        first = await hold(scheduler, engine)
        maps = [asyncio.create_task(scheduler.submit(patches(2), soon(), Lane.BACKGROUND)) for _ in range(5)]
        await asyncio.sleep(0)
        engine.gate.set()
        await asyncio.gather(first, *maps)

    run(scenario())
    assert engine.calls == [1, 4, 4, 2]


def test_a_map_does_not_wait_for_company(make):
    assert run(make(batch_wait_s=600.0).submit(patches(1), soon(), Lane.BACKGROUND)).logits.shape == (1, 2)


def test_predictions_go_first_but_maps_are_not_starved(make, engine):
    scheduler = make(batch_patches=2, queue_patches=100)
    order = []

    async def submit(lane):
        await scheduler.submit(patches(2), soon(), lane)
        order.append(lane)

    async def scenario():
        first = await hold(scheduler, engine)
        maps = [asyncio.create_task(submit(Lane.BACKGROUND)) for _ in range(2)]
        await asyncio.sleep(0)
        predictions = [asyncio.create_task(submit(Lane.FOREGROUND)) for _ in range(8)]
        await asyncio.sleep(0)
        engine.gate.set()
        await asyncio.gather(first, *maps, *predictions)

    run(scenario())
    background = [index for index, lane in enumerate(order) if lane is Lane.BACKGROUND]
    assert background[0] <= Scheduler.FOREGROUND_RUN
    assert background[1] < len(order) - 1


def test_a_deadline_that_passed_in_the_queue_is_not_run(make, engine):
    scheduler = make()

    async def scenario():
        first = await hold(scheduler, engine)
        late = asyncio.create_task(scheduler.submit(patches(7), soon(0.05)))
        with pytest.raises(DeadlineExceeded):
            await late
        assert scheduler.queue_depth == 0
        engine.gate.set()
        await first
        await scheduler.submit(patches(1), soon())

    run(scenario())
    assert 7 not in engine.calls


def test_an_expired_item_is_answered_by_the_thread_too(make, engine):
    scheduler = make()

    async def scenario():
        first = await hold(scheduler, engine)
        late = asyncio.create_task(scheduler.submit(patches(7), soon(0.02)))
        await asyncio.sleep(0)
        sleep(0.05)  # the loop is blocked: the thread sees the expired item before the task's own timeout does
        engine.gate.set()
        sleep(0.1)
        with pytest.raises(DeadlineExceeded):
            await late
        await first

    run(scenario())


def test_a_deadline_that_passes_inside_the_engine_is_told(make, engine):
    scheduler = make()

    async def scenario():
        engine.gate.clear()
        with pytest.raises(DeadlineExceeded):
            await scheduler.submit(patches(1), soon(0.05))
        engine.gate.set()
        return await scheduler.submit(patches(2), soon())

    assert run(scenario()).logits.shape == (2, 2)


def test_a_cancelled_item_is_not_run(make, engine):
    scheduler = make()

    async def scenario():
        first = await hold(scheduler, engine)
        left = asyncio.create_task(scheduler.submit(patches(7), soon()))
        await asyncio.sleep(0.01)
        left.cancel()
        with pytest.raises(asyncio.CancelledError):
            await left
        assert scheduler.queue_depth == 0
        engine.gate.set()
        await first
        await scheduler.submit(patches(1), soon())

    run(scenario())
    assert engine.calls == [1, 1]


def test_a_failed_batch_answers_every_item_and_the_next_one_works(make, engine):
    scheduler = make()

    async def scenario():
        first = await hold(scheduler, engine)
        engine.error = RuntimeError("the patient's name is in here")
        rest = [asyncio.create_task(scheduler.submit(patches(2), soon())) for _ in range(3)]
        await asyncio.sleep(0)
        engine.gate.set()
        outcomes = await asyncio.gather(first, *rest, return_exceptions=True)
        engine.error = None
        return outcomes, await scheduler.submit(patches(1), soon())

    with capture_logs() as logs:
        outcomes, after = run(scenario())
    assert all(isinstance(outcome, InferenceFailed) for outcome in outcomes)
    assert after.logits.shape == (1, 2)
    assert "patient" not in str(logs) + str(outcomes)


def test_values_that_are_not_finite_are_never_served(make, engine):
    scheduler = make()
    engine.answer = torch.tensor([[1.0, 2.0], [3.0, float("nan")]])

    async def scenario():
        first = await hold(scheduler, engine)
        second = asyncio.create_task(scheduler.submit(patches(1), soon()))
        await asyncio.sleep(0)
        engine.gate.set()
        return await asyncio.gather(first, second, return_exceptions=True)

    engine.answer = torch.full((1, 2), float("inf"))
    with capture_logs():
        outcomes = run(scenario())
    assert all(isinstance(outcome, InvalidModelOutput) for outcome in outcomes)


def test_a_wrong_number_of_answers_is_never_served(make, engine):
    engine.answer = torch.zeros(3, 2)
    with capture_logs(), pytest.raises(InvalidModelOutput):
        run(make().submit(patches(2), soon()))


def test_closing_finishes_what_waits_and_refuses_the_rest(make, engine):
    scheduler = make()

    async def scenario():
        first = await hold(scheduler, engine)
        waiting = [asyncio.create_task(scheduler.submit(patches(8), soon())) for _ in range(3)]
        await asyncio.sleep(0)
        closing = asyncio.create_task(asyncio.to_thread(scheduler.close))
        while scheduler.is_alive:
            await asyncio.sleep(0.01)
        with pytest.raises(Draining):
            await scheduler.submit(patches(1), soon())
        engine.gate.set()
        answers = await asyncio.gather(first, *waiting)
        await closing
        return answers

    assert [answer.logits.shape[0] for answer in run(scenario())] == [1, 8, 8, 8]


def test_closing_twice_or_before_the_start_is_harmless(engine):
    scheduler = Scheduler(
        [engine], batch_patches=1, map_patches=1, batch_wait_s=0, queue_patches=1, on_batch=len, on_fault=len
    )
    scheduler.close()
    scheduler.close()
    assert not scheduler.is_alive


def test_many_items_have_exactly_one_outcome_each(make):
    scheduler = make(batch_patches=16, queue_patches=50)

    async def submit(index):
        try:
            answer = await scheduler.submit(patches(1 + index % 5, index / 200), soon(0.001 if index % 7 == 0 else 300))
        except (QueueFull, DeadlineExceeded) as error:
            return type(error)
        torch.testing.assert_close(answer.logits, torch.full((1 + index % 5, 2), index / 200))
        return "answered"

    async def scenario():
        return await asyncio.gather(*(submit(index) for index in range(200)))

    outcomes = run(scenario())
    assert len(outcomes) == 200
    assert outcomes.count("answered") > 10
    assert scheduler.queue_depth == 0
