"""Decode workers that die while nobody looks, or cannot start at all."""

import asyncio
import os
import signal

import pytest

from app.decoding import pool as workers
from app.decoding.pool import DecodePool
from app.errors import NotReady
from app.imaging.radiograph import DecodeLimits
from tests import factories as make
from tests.waiting import eventually


@pytest.fixture
def pool():
    made = DecodePool(2, 20.0, 1 << 30, DecodeLimits())
    made.start()
    yield made
    made.close()


def kill_all(pool):
    for worker in pool._workers:
        os.kill(worker._process.pid, signal.SIGKILL)
    eventually(lambda: pool.live_workers == 0)


def test_workers_that_died_idle_are_replaced_without_an_image(pool):
    kill_all(pool)
    pool.replace_dead()
    assert pool.live_workers == 2
    assert pool.restarts == 2
    assert asyncio.run(pool.decode(make.chest_dicom())).pixels.shape == (make.ROWS, make.COLUMNS)


def test_living_workers_are_left_alone(pool):
    before = [worker._process.pid for worker in pool._workers]
    pool.replace_dead()
    assert [worker._process.pid for worker in pool._workers] == before


def test_a_closed_pool_replaces_nobody(pool):
    pool.close()
    pool.replace_dead()
    assert pool.live_workers == 0


def test_a_worker_that_cannot_start_is_not_blamed_on_the_image(pool, monkeypatch):
    executable = workers.sys.executable
    monkeypatch.setattr(workers.sys, "executable", "/bin/false")
    kill_all(pool)
    with pytest.raises(NotReady):
        asyncio.run(pool.decode(make.chest_dicom()))
    monkeypatch.setattr(workers.sys, "executable", executable)
    pool.replace_dead()
    assert asyncio.run(pool.decode(make.chest_dicom())).pixels.shape == (make.ROWS, make.COLUMNS)
