"""Many clients at once, and the end of the process in the middle of their work."""

import multiprocessing
import signal
import threading
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from time import monotonic, sleep

import httpx
import numpy as np
import pytest

from tests.waiting import eventually

pytestmark = pytest.mark.integration

CLIENTS = 64


def watch_liveness(url, ready, done):
    """How long each of many calls took, in seconds; in a process of its own, which the clients do not hold up."""
    waits = []
    with httpx.Client(base_url=url, trust_env=False) as client:
        while not done.is_set():
            begin = monotonic()
            assert client.get("/livez").status_code == 200
            waits.append(monotonic() - begin)
            ready.set()
            sleep(0.01)
    return waits


def test_every_one_of_64_clients_is_answered_or_refused(start_service, rg1):
    service = start_service(max_in_flight=32, max_wait_s=60)
    with service.client() as client:
        expected = client.post("/predict", content=rg1).json()["findings"]
    outcomes = Counter()

    def work(_):
        with service.client() as client:
            answer = client.post("/predict", content=rg1)
        if answer.status_code == 200:
            for finding, known in zip(answer.json()["findings"], expected, strict=True):
                if known["logit"] is not None:
                    assert finding["logit"] == pytest.approx(known["logit"], abs=1e-4)
        else:
            assert int(answer.headers["retry-after"]) >= 1
            assert answer.json()["type"].endswith("queue_full")
        outcomes[answer.status_code] += 1

    processes = multiprocessing.get_context("spawn")
    with processes.Manager() as shared, ProcessPoolExecutor(1, processes) as watcher:
        ready, done = shared.Event(), shared.Event()
        watched = watcher.submit(watch_liveness, service.url, ready, done)
        ready.wait()
        with ThreadPoolExecutor(CLIENTS) as pool:
            list(pool.map(work, range(CLIENTS)))
        done.set()
        waits = watched.result()
    assert set(outcomes) <= {200, 503}
    assert sum(outcomes.values()) == CLIENTS
    assert outcomes[200] >= 32
    p99 = float(np.percentile(waits, 99))
    print(f"\n64 clients: {dict(outcomes)}, /livez p99 {p99 * 1000:.1f} ms over {len(waits)} calls")
    assert p99 < 0.1


def test_sigterm_loses_no_accepted_request(start_service, rg1):
    service = start_service(max_wait_s=60)
    outcomes, gate = Counter(), threading.Barrier(17)

    def work(_):
        with service.client() as client:
            gate.wait()
            try:
                answer = client.post("/predict", content=rg1)
            except (httpx.ConnectError, httpx.ReadError, httpx.RemoteProtocolError, httpx.WriteError) as error:
                outcomes[type(error).__name__] += 1
            else:
                outcomes[answer.status_code] += 1

    with ThreadPoolExecutor(16) as pool:
        tasks = [pool.submit(work, index) for index in range(16)]
        with service.client() as client:
            gate.wait()
            while "medpatchnet_queue_depth 0.0" in client.get("/metrics").text and not outcomes:
                sleep(0.005)
        service.process.send_signal(signal.SIGTERM)
        for task in tasks:
            task.result()
    assert service.process.wait(60) == 0
    assert outcomes == {200: 16}


def test_a_draining_service_is_unready_and_still_answers(start_service, rg1):
    service = start_service(drain_delay_s=1.5)
    with service.client() as client:
        service.process.send_signal(signal.SIGTERM)
        eventually(lambda: client.get("/readyz").status_code != 200, timeout_s=1)
        answer = client.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["status"] == "draining"
        assert client.get("/livez").status_code == 200
        assert client.post("/predict", content=rg1).status_code == 200
    assert service.process.wait(30) == 0


def test_concurrent_images_share_network_calls(start_service, rg1):
    service = start_service(batch_patches=512, batch_wait_s=0.5, max_wait_s=60)  # longer than a slow decode
    with ThreadPoolExecutor(8) as pool, service.client() as client:
        answers = list(pool.map(lambda _: client.post("/predict", content=rg1), range(24)))
        assert all(answer.status_code == 200 for answer in answers)
        metrics = client.get("/metrics").text
    count = float(next(line for line in metrics.splitlines() if "batch_images_count" in line).split()[-1])
    total = float(next(line for line in metrics.splitlines() if "batch_images_sum" in line).split()[-1])
    assert total == 24
    assert count < 24
