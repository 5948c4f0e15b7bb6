"""Several devices behind one queue: all of them work, and one that fails leaves the work to the others."""

import asyncio
import threading
from time import monotonic, sleep

import pytest
import torch

from app.inference import faults
from app.inference.items import Lane
from app.inference.scheduler import Scheduler
from tests.waiting import eventually


class Device:
    """A fake device: answers each patch with its mean after ``seconds``; ``failure`` is raised instead."""

    device, precision = "cuda", "float32"

    def __init__(self, seconds=0.0):
        self.seconds, self.failure = seconds, None
        self.calls, self.threads = [], set()

    def patch_logits(self, patches):
        self.threads.add(threading.current_thread().name)
        sleep(self.seconds)
        if self.failure:
            raise self.failure
        self.calls.append(len(patches))
        return patches.mean(dim=(1, 2, 3))[:, None]


@pytest.fixture
def serve():
    made = []

    def start(*devices):
        scheduler = Scheduler(
            devices,
            batch_patches=4,
            map_patches=4,
            batch_wait_s=0.0,
            queue_patches=10_000,
            on_batch=lambda items: None,
            on_fault=lambda fault: None,
        )
        scheduler.start()
        made.append(scheduler)
        return scheduler

    yield start
    for scheduler in made:
        scheduler.close()


async def ask(scheduler, count, lane=Lane.FOREGROUND):
    values = [index / count for index in range(count)]
    tasks = [scheduler.submit(torch.full((3, 1, 5, 7), value), monotonic() + 300, lane) for value in values]
    for value, answer in zip(values, await asyncio.gather(*tasks), strict=True):
        torch.testing.assert_close(answer.logits, torch.full((3, 1), value))


@pytest.mark.parametrize("lane", list(Lane))
def test_every_device_works_on_a_thread_of_its_own(serve, lane):
    devices = [Device(0.01) for _ in range(3)]
    asyncio.run(ask(serve(*devices), 60, lane))
    assert sum(sum(device.calls) for device in devices) == 180
    assert all(len(device.calls) > 5 for device in devices)
    assert all(len(device.threads) == 1 for device in devices)
    assert len(set.union(*(device.threads for device in devices))) == 3


def test_a_slow_device_gets_less_work(serve):
    fast, slow = Device(0.005), Device(0.1)
    asyncio.run(ask(serve(fast, slow), 60))
    assert len(fast.calls) > len(slow.calls) > 0


def test_a_failing_device_leaves_the_work_to_the_others_until_a_probe_succeeds(serve, monkeypatch):
    monkeypatch.setattr(faults, "PROBE_EVERY_S", 0.05)
    well, sick = Device(0.002), Device(0.002)
    sick.failure = RuntimeError("CUDA error")
    scheduler = serve(well, sick)

    async def tolerant():
        tasks = [scheduler.submit(torch.zeros(3, 1, 5, 7), monotonic() + 300) for _ in range(40)]
        return await asyncio.gather(*tasks, return_exceptions=True)

    while not scheduler.replicas[1].health.is_failing:
        asyncio.run(tolerant())
    assert not scheduler.is_failing
    asyncio.run(ask(scheduler, 40))
    sick.failure = None
    eventually(lambda: not scheduler.replicas[1].health.is_failing)
    sick.calls.clear()
    asyncio.run(ask(scheduler, 60))
    assert sick.calls


def test_the_service_fails_only_where_all_devices_do(serve):
    devices = [Device(), Device()]
    scheduler = serve(*devices)
    for device, replica in zip(devices, scheduler.replicas, strict=True):
        assert not scheduler.is_failing
        for _ in range(faults.FAILING_AFTER):
            replica.health.note(succeeded=False)
        del device
    assert scheduler.is_failing


def test_closing_finishes_what_waits_on_all_devices(serve):
    devices = [Device(0.02), Device(0.02)]
    scheduler = serve(*devices)

    async def scenario():
        tasks = [asyncio.create_task(scheduler.submit(torch.zeros(4, 1, 5, 7), monotonic() + 300)) for _ in range(12)]
        await asyncio.sleep(0)
        await asyncio.to_thread(scheduler.close)
        return await asyncio.gather(*tasks)

    assert len(asyncio.run(scenario())) == 12
    assert not scheduler.is_alive
