"""Many clients at once, and the end of the process while they are served."""

import multiprocessing
import select
import signal
import socket
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPResponse
from time import monotonic, sleep
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest

from tests.factories import chest_dicom
from tests.waiting import eventually

pytestmark = pytest.mark.integration

CLIENTS = 64
ACCEPTED = 16


def watch_liveness(url, ready, done):
    """Seconds that each of many calls took; in a process of its own, so that the clients do not delay it."""
    waits = []
    with httpx.Client(base_url=url, trust_env=False, timeout=300) as client:
        while not done.is_set():
            begin = monotonic()
            assert client.get("/livez").status_code == 200
            waits.append(monotonic() - begin)
            ready.set()
            sleep(0.01)
    return waits


@pytest.mark.thorough
def test_every_one_of_64_clients_is_answered_or_refused(start_service, rg1):
    service = start_service(max_in_flight=32, max_wait_s=600)
    with service.client() as client:
        expected = client.post("/predict", content=rg1).json()["findings"]
    outcomes, answered_s = Counter(), []

    def work(_):
        begin = monotonic()
        with service.client() as client:
            answer = client.post("/predict", content=rg1)
        if answer.status_code == 200:
            answered_s.append(monotonic() - begin)
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
    assert p99 < np.median(answered_s) / 4  # liveness does not queue behind predictions


@dataclass(frozen=True)
class Drill:
    """What clients of a service got while it ended, and its exit status."""

    unready: httpx.Response
    livez: int
    late: int
    accepted: list[int]
    exit_status: int


def half_sent(service, film):
    """A connection on which the head and half of the body of a prediction were sent."""
    address = urlsplit(service.url)
    connection = socket.create_connection((address.hostname, address.port), timeout=300)
    head = f"POST /predict HTTP/1.1\r\nHost: test\r\nContent-Length: {len(film)}\r\n\r\n"
    connection.sendall(head.encode() + film[: len(film) // 2])
    return connection


def status_of(connection, film):
    """Send the other half; the status of the answer."""
    with connection:
        connection.sendall(film[len(film) // 2 :])
        answer = HTTPResponse(connection)
        answer.begin()
        return answer.status


@pytest.fixture(scope="module")
def drill(start_service, rg1):
    """Probes and a prediction after a first SIGTERM; then a second one while 16 accepted requests are still sending."""
    forever = dict.fromkeys(("max_wait_s", "drain_timeout_s", "drain_delay_s"), 600)
    service = start_service(max_in_flight=ACCEPTED, **forever)
    with service.client() as client:
        service.process.send_signal(signal.SIGTERM)
        eventually(lambda: client.get("/readyz").status_code != 200)
        unready, livez = client.get("/readyz"), client.get("/livez").status_code
        late = client.post("/predict", content=rg1).status_code
        requests = [half_sent(service, rg1) for _ in range(ACCEPTED)]

        def have_all_places():
            for index, request in enumerate(requests):
                if select.select([request], [], [], 0)[0]:  # refused: a probe had its place
                    request.close()
                    requests[index] = half_sent(service, rg1)
            return client.post("/predict", content=b"x").status_code == 503

        eventually(have_all_places)
    service.process.send_signal(signal.SIGTERM)  # the second ends the delay
    accepted = [status_of(request, rg1) for request in requests]
    return Drill(unready, livez, late, accepted, service.process.wait(300))


def test_sigterm_loses_no_accepted_request(drill):
    assert drill.accepted == [200] * ACCEPTED
    assert drill.exit_status == 0


def test_a_draining_service_is_unready_and_still_answers(drill):
    assert (drill.unready.status_code, drill.unready.json()["status"]) == (503, "draining")
    assert (drill.livez, drill.late) == (200, 200)


@pytest.mark.thorough
def test_concurrent_images_share_network_calls(start_service):
    film = chest_dicom()
    service = start_service(batch_patches=512, batch_wait_s=2, max_wait_s=600)  # longer than a slow decode
    with ThreadPoolExecutor(8) as pool, service.client() as client:
        answers = list(pool.map(lambda _: client.post("/predict", content=film), range(24)))
        assert all(answer.status_code == 200 for answer in answers)
        metrics = client.get("/metrics").text
    count = float(next(line for line in metrics.splitlines() if "batch_images_count" in line).split()[-1])
    total = float(next(line for line in metrics.splitlines() if "batch_images_sum" in line).split()[-1])
    assert total == 24
    assert count < 24
