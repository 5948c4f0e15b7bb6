"""An engine that runs out of memory, fails, or answers nonsense: every item is answered, and health is known."""

import asyncio
from time import monotonic, sleep

import pytest
import torch

from app.errors import InferenceFailed, InvalidModelOutput
from app.inference import faults
from app.inference.faults import run_halved
from app.inference.scheduler import Scheduler
from tests.waiting import eventually


class SmallDevice:
    """Doubles patches, but no more than ``room`` at once; may fail or answer what is not finite."""

    device, precision = "cpu", "float32"

    def __init__(self, room=1000):
        self.room = room
        self.calls = []
        self.failure = None
        self.poison = None

    def patch_logits(self, patches):
        if self.failure:
            raise self.failure
        if patches.shape[0] > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        self.calls.append(patches.shape[0])
        logits = patches.flatten(1)[:, :2] * 2
        return logits if self.poison is None else torch.full_like(logits, self.poison)


@pytest.fixture
def device():
    return SmallDevice()


@pytest.fixture
def seen():
    return []


@pytest.fixture
def scheduler(device, seen, monkeypatch):
    monkeypatch.setattr(faults, "PROBE_EVERY_S", 0.05)
    made = Scheduler(
        [device],
        batch_patches=64,
        map_patches=64,
        batch_wait_s=0,
        queue_patches=64,
        on_batch=lambda items: None,
        on_fault=seen.append,
    )
    made.start()
    yield made
    made.close()


def submit(scheduler, patches):
    return asyncio.run(scheduler.submit(patches, monotonic() + 300)).logits


@pytest.mark.parametrize("room", [1, 2, 3, 5, 12, 13])
def test_a_batch_over_the_memory_is_halved_and_answered_the_same(device, scheduler, seen, room):
    patches = torch.rand(13, 1, 3, 5)
    device.room = room
    assert torch.equal(submit(scheduler, patches), patches.flatten(1)[:, :2] * 2)
    assert sum(device.calls) == 13
    assert max(device.calls) <= room
    assert (len(seen) > 0) == (room < 13)
    assert set(seen) <= {"out_of_memory"}
    assert not scheduler.is_failing


def test_a_single_patch_over_the_memory_is_an_error(device, scheduler, seen):
    device.room = 0
    with pytest.raises(InferenceFailed):
        submit(scheduler, torch.rand(2, 1, 3, 5))
    assert seen == ["out_of_memory", "engine_error"]


def test_other_errors_are_not_retried():
    calls = []

    def run(patches):
        calls.append(len(patches))
        raise RuntimeError

    with pytest.raises(RuntimeError):
        run_halved(run, torch.rand(4, 1), lambda: None)
    assert calls == [4]


@pytest.mark.parametrize("poison", [float("nan"), float("inf"), float("-inf")])
def test_values_that_are_not_finite_are_never_answered(device, scheduler, seen, poison):
    device.poison = poison
    with pytest.raises(InvalidModelOutput):
        submit(scheduler, torch.rand(2, 1, 3, 5))
    assert seen == ["invalid_output"]


@pytest.mark.parametrize("trouble", [{"failure": RuntimeError("CUDA error")}, {"poison": float("nan")}])
def test_an_engine_that_keeps_failing_is_known_to_and_recovers_by_a_probe(device, scheduler, trouble):
    vars(device).update(trouble)
    for attempt in range(3):
        assert not scheduler.is_failing, attempt
        with pytest.raises(InferenceFailed):
            submit(scheduler, torch.rand(2, 1, 3, 5))
    assert scheduler.is_failing
    sleep(0.15)
    assert scheduler.is_failing
    vars(device).update(failure=None, poison=None)
    eventually(lambda: not scheduler.is_failing)
    assert device.calls[-1] == 1


def test_one_success_in_between_starts_the_count_again(device, scheduler):
    for failure in (RuntimeError(), RuntimeError(), None, RuntimeError(), RuntimeError()):
        device.failure = failure
        try:
            submit(scheduler, torch.rand(1, 1, 3, 5))
        except InferenceFailed:
            assert failure
    assert not scheduler.is_failing
