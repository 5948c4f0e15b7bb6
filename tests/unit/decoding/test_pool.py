"""The pool with its real processes: what happens when they hang, die, bloat, or are asked to stop."""

import asyncio
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from app.decoding import pool as workers
from app.decoding import worker
from app.decoding.pool import DecodePool
from app.decoding.protocol import limits_as_argument
from app.errors import (
    ConfigurationError,
    DecoderCrashed,
    DecodeTimeout,
    Draining,
    ImageTooLarge,
    MedPatchNetError,
    NotAChestRadiograph,
    NotReady,
)
from app.imaging.decode import decode_image
from app.imaging.radiograph import DecodeLimits
from tests import factories as make

LIMITS = DecodeLimits()
GIB = 1024**3
SOURCE = Path(__file__).resolve().parents[3]


def make_pool(count: int = 1, timeout_s: float = 20.0, memory_bytes: int = GIB) -> DecodePool:
    return DecodePool(count, timeout_s, memory_bytes, LIMITS)


@pytest.fixture(scope="module")
def pool():
    shared = make_pool(2)
    shared.start()
    yield shared
    shared.close()


def pids(pool: DecodePool) -> list[int]:
    return [one._process.pid for one in pool._workers]


def freeze(pool: DecodePool) -> None:
    """Stop all worker processes, as a codec in an endless loop would."""
    for pid in pids(pool):
        os.kill(pid, signal.SIGSTOP)


def has_died(pid: int) -> bool:
    """Whether a process that is not our child is gone, or a zombie that its new parent has not collected."""
    for _ in range(200):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


def test_the_pool_decodes_as_the_function_does(pool):
    data = make.chest_dicom(ViewPosition="LL", PhotometricInterpretation="MONOCHROME1")
    answer, direct = asyncio.run(pool.decode(data)), decode_image(data, LIMITS)
    assert np.array_equal(answer.pixels, direct.pixels)
    assert (answer.facts, answer.warnings) == (direct.facts, direct.warnings)


def test_concurrent_jobs_get_their_own_answers(pool):
    films = [make.film(71 + index, 73) for index in range(17)]

    async def run() -> None:
        answers = await asyncio.gather(*[pool.decode(make.chest_dicom(film)) for film in films])
        for film, answer in zip(films, answers, strict=True):
            assert answer.pixels.shape == film.shape

    asyncio.run(run())


def test_refusals_travel_and_the_worker_lives_on(pool):
    before = pool.restarts
    with pytest.raises(NotAChestRadiograph, match="modality CT"):
        asyncio.run(pool.decode(make.chest_dicom(Modality="CT")))
    assert pool.restarts == before
    assert pool.live_workers == 2


def test_the_names_of_a_site_reach_the_workers():
    pool = DecodePool(1, 20.0, GIB, DecodeLimits(chest_body_parts=("TX PORTÁTIL",)))
    pool.start()
    try:
        for name in ("TX PORTATIL", "Tx-Portátil"):
            data = make.chest_dicom(BodyPartExamined=name, SpecificCharacterSet="ISO_IR 192")
            assert asyncio.run(pool.decode(data)).pixels.shape == (make.ROWS, make.COLUMNS)
    finally:
        pool.close()


def test_a_cancelled_job_does_not_poison_the_next():
    pool = make_pool()
    pool.start()
    first, second = make.chest_dicom(make.film(211, 223)), make.chest_dicom(make.film(67, 71))

    async def run() -> None:
        freeze(pool)
        task = asyncio.create_task(pool.decode(first))
        queued = asyncio.create_task(pool.decode(first))
        await asyncio.sleep(0.1)
        task.cancel()
        queued.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(asyncio.CancelledError):
            await queued
        for pid in pids(pool):
            os.kill(pid, signal.SIGCONT)
        assert (await pool.decode(second)).pixels.shape == (67, 71)

    asyncio.run(run())
    assert pool.restarts == 0
    pool.close()


def test_a_job_that_hangs_is_stopped_and_its_worker_replaced():
    pool = make_pool(timeout_s=0.5)
    pool.start()
    before = pids(pool)

    async def run() -> None:
        freeze(pool)
        with pytest.raises(DecodeTimeout, match=r"0\.5 s"):
            await pool.decode(make.chest_dicom())
        assert (await pool.decode(make.chest_dicom())).pixels.shape == (make.ROWS, make.COLUMNS)

    asyncio.run(run())
    assert (pool.restarts, pool.live_workers) == (1, 1)
    assert pids(pool) != before
    pool.close()


def test_a_worker_that_crashes_is_replaced_and_its_job_answered():
    pool = make_pool()
    pool.start()

    async def run() -> None:
        freeze(pool)
        job = asyncio.create_task(pool.decode(make.chest_dicom()))
        await asyncio.sleep(0.1)
        for number in (signal.SIGSEGV, signal.SIGCONT):
            os.kill(pids(pool)[0], number)
        with pytest.raises(DecoderCrashed, match="replaced"):
            await job
        assert (await pool.decode(make.chest_dicom())).pixels.shape == (make.ROWS, make.COLUMNS)

    asyncio.run(run())
    assert (pool.restarts, pool.live_workers) == (1, 1)
    pool.close()


@pytest.mark.parametrize("times", [1, 2])
def test_an_image_whose_worker_is_killed_from_outside_is_tried_once_more(times):
    pool = make_pool()
    pool.start()

    async def run() -> None:
        freeze(pool)
        job = asyncio.create_task(pool.decode(make.chest_dicom()))
        for kills in range(1, times + 1):
            await asyncio.sleep(0.1)
            os.kill(pids(pool)[0], signal.SIGKILL)
            while pool.restarts < kills:
                await asyncio.sleep(0.01)
        if times == 1:
            assert (await job).pixels.shape == (make.ROWS, make.COLUMNS)
        else:
            with pytest.raises((DecoderCrashed, NotReady)):  # at work, or not yet
                await job

    asyncio.run(run())
    assert pool.restarts == times
    pool.close()


def test_a_worker_killed_while_idle_costs_no_image():
    pool = make_pool()
    pool.start()
    os.kill(pids(pool)[0], signal.SIGKILL)
    pool._workers[0]._process.wait()
    assert pool.live_workers == 0
    assert asyncio.run(pool.decode(make.chest_dicom())).pixels.shape == (make.ROWS, make.COLUMNS)
    assert (pool.restarts, pool.live_workers) == (1, 1)
    pool.close()


def test_an_image_beyond_the_memory_of_a_worker_is_refused():
    pool = make_pool(memory_bytes=48 * 1024**2)
    pool.start()
    big = make.chest_dicom(make.film(4001, 4003))  # 32 MB of pixels, and several copies of them

    async def run() -> None:
        with pytest.raises((ImageTooLarge, DecoderCrashed)):
            await pool.decode(big)
        assert (await pool.decode(make.chest_dicom())).pixels.shape == (make.ROWS, make.COLUMNS)

    asyncio.run(run())
    pool.close()


def test_closing_answers_every_job_with_draining():
    pool = make_pool(2)
    pool.start()

    async def run() -> list[object]:
        freeze(pool)
        jobs = [asyncio.create_task(pool.decode(make.chest_dicom())) for _ in range(11)]
        await asyncio.sleep(0.2)
        await asyncio.to_thread(pool.close)
        outcomes = await asyncio.wait_for(asyncio.gather(*jobs, return_exceptions=True), 300)
        with pytest.raises(Draining):
            await pool.decode(make.chest_dicom())
        return outcomes

    outcomes = asyncio.run(run())
    assert [type(outcome) for outcome in outcomes] == [Draining] * 11
    assert pool.live_workers == 0


def test_closing_twice_and_closing_unstarted_is_fine():
    pool = make_pool()
    pool.close()
    pool.close()
    assert (pool.live_workers, pool.restarts) == (0, 0)


def test_closing_ends_the_processes():
    pool = make_pool(2)
    pool.start()
    numbers = pids(pool)
    pool.close()
    assert all(has_died(pid) for pid in numbers)


def test_a_pool_that_is_not_started_is_not_ready():
    pool = make_pool()
    with pytest.raises(NotReady):
        asyncio.run(pool.decode(make.chest_dicom()))
    pool.close()


def test_a_worker_that_does_not_start_is_a_configuration_error(monkeypatch):
    monkeypatch.setattr(workers, "_PACKAGE_ROOT", Path("/nonexistent"))
    monkeypatch.setattr(workers.sys, "executable", "/bin/false")
    pool = make_pool()
    with pytest.raises(ConfigurationError, match="does not start"):
        pool.start()
    assert pool.live_workers == 0


def test_no_wait_blocks_the_event_loop():
    pool = make_pool(timeout_s=600)
    pool.start()

    async def run() -> bool:
        freeze(pool)
        job = asyncio.create_task(pool.decode(make.chest_dicom()))
        for _ in range(20):
            await asyncio.sleep(0.01)
        is_open = not job.done()
        job.cancel()
        await asyncio.to_thread(pool.close)
        return is_open

    assert asyncio.run(run())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_workers_outlast_signals_that_ask_the_service_to_drain(number):
    pool = make_pool()
    pool.start()
    os.kill(pids(pool)[0], number)
    time.sleep(0.1)
    assert asyncio.run(pool.decode(make.chest_dicom())).pixels.shape == (make.ROWS, make.COLUMNS)
    assert pool.restarts == 0
    pool.close()


def test_workers_do_not_outlive_a_killed_parent():
    script = (
        "import time\n"
        "from app.decoding.pool import DecodePool\n"
        "from app.imaging.radiograph import DecodeLimits\n"
        "pool = DecodePool(2, 5.0, 1 << 30, DecodeLimits())\n"
        "pool.start()\n"
        "print(*[one._process.pid for one in pool._workers], flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=SOURCE) as parent:
        numbers = [int(number) for number in parent.stdout.readline().split()]
        parent.kill()
    assert len(numbers) == 2
    assert all(has_died(pid) for pid in numbers)


def test_an_orphan_that_hangs_ends_itself():
    script = (
        "import socket, threading, time\n"
        "from app.decoding import worker\n"
        "from app.imaging.radiograph import DecodeLimits\n"
        "from app.decoding.protocol import Channel\n"
        "worker.decode_image = lambda *_: time.sleep(60)\n"
        "ours, theirs = socket.socketpair()\n"
        "Channel(ours).send(b'image')\n"
        "worker.serve(Channel(theirs), DecodeLimits(), 0.2)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=SOURCE, timeout=300, check=False)
    assert done.returncode == -signal.SIGALRM


def test_a_worker_imports_neither_the_network_nor_the_web():
    script = "import sys, app.decoding.worker; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", script], cwd=SOURCE, capture_output=True, text=True, check=True
    ).stdout.split()
    assert "app.imaging.decode" in loaded
    for name in ("torch", "fastapi", "httpx", "prometheus_client", "app.patchnet", "app.settings"):
        assert name not in loaded


def test_a_worker_writes_nothing_and_dumps_no_core(pool):
    for pid in pids(pool):
        targets = [os.readlink(f"/proc/{pid}/fd/{number}") for number in (0, 1, 2)]
        assert targets == ["/dev/null"] * 3
        limits = {line[:25].strip(): line[26:].split() for line in Path(f"/proc/{pid}/limits").read_text().splitlines()}
        assert limits["Max core file size"][:2] == ["0", "0"]
        assert limits["Max address space"][0] != "unlimited"


def test_workers_yield_to_the_process_that_answers(pool):
    asyncio.run(pool.decode(make.chest_dicom()))
    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert all(os.getpriority(os.PRIO_PROCESS, pid) > own for pid in pids(pool))


def test_confining_bounds_memory_above_what_is_mapped(monkeypatch):
    asked: dict[int, tuple[int, int]] = {}
    handlers: dict[int, object] = {}
    monkeypatch.setattr(worker.os, "nice", lambda by: by)
    monkeypatch.setattr(worker.resource, "setrlimit", asked.__setitem__)
    monkeypatch.setattr(worker.signal, "signal", handlers.__setitem__)
    worker.confine(GIB)
    assert asked[resource.RLIMIT_CORE] == (0, 0)
    assert asked[resource.RLIMIT_AS][0] > GIB
    assert handlers == {signal.SIGINT: signal.SIG_IGN, signal.SIGTERM: signal.SIG_IGN}


def test_the_arguments_of_a_worker_are_understood(monkeypatch):
    limits = DecodeLimits(77, 88, ("TX",))
    served: list[object] = []
    monkeypatch.setattr(worker, "confine", served.append)
    monkeypatch.setattr(worker, "serve", lambda channel, *rest: (served.extend(rest), channel.close()))
    ours, theirs = socket.socketpair()
    with ours:
        worker.main([str(theirs.detach()), "1000", "2.5", limits_as_argument(limits)])
    assert served == [1000, limits, 7.5]


def test_every_outcome_of_a_pool_under_fire_is_one_of_the_known():
    """Kills, hangs and a close amid many jobs: each job ends once, as a film or a domain error."""
    pool = make_pool(2, timeout_s=0.5)
    pool.start()

    async def run() -> list[object]:
        jobs = [asyncio.create_task(pool.decode(make.chest_dicom())) for _ in range(23)]
        await asyncio.sleep(0.02)
        os.kill(pids(pool)[0], signal.SIGKILL)
        os.kill(pids(pool)[1], signal.SIGSTOP)
        await asyncio.sleep(1.0)
        await asyncio.to_thread(pool.close)
        return await asyncio.wait_for(asyncio.gather(*jobs, return_exceptions=True), 10)

    outcomes = asyncio.run(run())
    assert len(outcomes) == 23
    assert all(hasattr(outcome, "pixels") or isinstance(outcome, MedPatchNetError) for outcome in outcomes)
