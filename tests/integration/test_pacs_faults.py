"""Every radiograph has exactly one set of results after kills; throughput and memory with a thousand of them.

Short here; the long versions: ``uv run pytest -m slow tests/integration/test_pacs_faults.py -s --timeout 7200``.
"""

import os
import random
import re
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic, sleep

import pytest

from tests.integration.orthanc import Orthanc
from tests.integration.radiology import (
    free_port,
    new_study,
    pacs_settings,
    radiograph_as,
    send_until_accepted,
    write_config,
)
from tests.load.traffic import decode_workers, stat_fields
from tests.sockets import LEFT_BEHIND
from tests.waiting import eventually

pytestmark = [pytest.mark.integration, *LEFT_BEHIND]


def killed_and_complete(start_service, start_orthanc, folder, radiograph, *, radiographs, kills, seed):
    """Kill the service and the archive at random moments, and wait for all results."""
    archive: Orthanc = start_orthanc()
    config = write_config(folder, archive, outputs=("sr", "gsps"), port=(port := free_port()))
    settings = pacs_settings(folder, config)
    moments, study = random.Random(seed), new_study()
    service = start_service(**settings)
    done = threading.Event()
    sent = [radiograph_as(radiograph, study, number) for number in range(radiographs)]
    thread = threading.Thread(target=send_until_accepted, args=(port, sent, done), daemon=True)
    thread.start()
    for number in range(kills):
        sleep(moments.uniform(0.2, 4.0))
        service.process.send_signal(signal.SIGKILL)
        service.process.wait()
        if number % 4 == 0:
            archive.kill()
            archive.start()
        service = start_service(**settings)
    eventually(done.is_set, timeout_s=1800)
    thread.join(60)
    expected = 2 * radiographs
    eventually(lambda: len(archive.instances()) >= expected, timeout_s=1800, every_s=1)
    with service.client() as client:
        eventually(lambda: 'pacs_waiting{queue="instances"} 0.0' in client.get("/metrics").text, timeout_s=60)
        eventually(lambda: 'pacs_waiting{queue="objects"} 0.0' in client.get("/metrics").text, timeout_s=60)
        assert 'pacs_dead{queue="objects"} 0.0' in client.get("/metrics").text
    assert service.stop() == 0
    return archive, study, expected


def complete(archive, study, expected):
    """Assert that each radiograph has one report and one presentation state."""
    with archive.client() as client:
        found = client.get(f"/dicom-web/studies/{study}/instances").json()
    kinds = [item["00080060"]["Value"][0] for item in found]
    uids = {item["00080018"]["Value"][0] for item in found}
    assert len(uids) == len(found) == len(archive.instances()) == expected
    assert kinds.count("SR") == kinds.count("PR") == expected // 2


@pytest.mark.thorough
def test_every_radiograph_has_one_set_of_results_after_kills(start_service, start_orthanc, tmp_path, rg1):
    result = killed_and_complete(start_service, start_orthanc, tmp_path, rg1, radiographs=6, kills=1, seed=1)
    complete(*result)


@pytest.mark.slow
def test_many_radiographs_have_one_set_of_results_each_after_twenty_kills(start_service, start_orthanc, tmp_path, rg1):
    begin = monotonic()
    result = killed_and_complete(start_service, start_orthanc, tmp_path, rg1, radiographs=200, kills=20, seed=2)
    complete(*result)
    print(f"\n200 radiographs, 20 kills: complete after {monotonic() - begin:.0f} s")


@pytest.mark.slow
def test_a_thousand_radiographs_over_four_associations(start_service, start_orthanc, tmp_path, rg1):
    """Prints rates and memory; asserts that all results arrive and that memory is bounded, never a time.

    Sender and archive share the processors with the service, so its processor time is printed separately.
    """
    archive = start_orthanc()
    port, study, radiographs = free_port(), new_study(), 1000
    config = write_config(tmp_path, archive, outputs=("sr",), port=port, max_associations=4)
    spool = 50 * len(rg1)
    service = start_service(**pacs_settings(tmp_path, config, max_spool_bytes=spool))
    with service.client() as client:
        spent = processor_seconds(service.process.pid)
        bare = rate_of_predictions(client, rg1, count=100)
        each_bare = (processor_seconds(service.process.pid) - spent) / 100
    highest, peak = {}, threading.Event()
    watcher = threading.Thread(target=watch_memory, args=(service.process.pid, highest, peak))
    watcher.start()
    begin, spent = monotonic(), processor_seconds(service.process.pid)
    done = [threading.Event() for _ in range(4)]
    for part, event in enumerate(done):
        sent = (radiograph_as(rg1, study, number) for number in range(part, radiographs, 4))
        threading.Thread(target=send_until_accepted, args=(port, sent, event), daemon=True).start()
    eventually(lambda: len(archive.instances()) >= radiographs, timeout_s=3600, every_s=1)
    seconds = monotonic() - begin
    each = (processor_seconds(service.process.pid) - spent) / radiographs
    assert all(event.wait(60) for event in done)
    peak.set()
    watcher.join()
    assert len(archive.instances()) == radiographs
    with service.client() as client:
        text = client.get("/metrics").text
    refused = re.search(r'pacs_received_total{outcome="spool_full"} (\S+)', text)
    print(f"\n/predict alone {bare:.2f}/s, PACS {radiographs / seconds:.2f}/s ({radiographs / seconds / bare:.0%})")
    print(f"processor time of the service: {each_bare:.2f} s and {each:.2f} s per radiograph ({each_bare / each:.0%})")
    print(f"answered 0xA700: {refused[1] if refused else '?'}; peak memory {highest['kB'] / 1024:.0f} MiB")
    assert highest["kB"] < 4 * 1024 * 1024


def rate_of_predictions(client, radiograph, count):
    """Responses of /predict per second, four requests at a time."""
    with ThreadPoolExecutor(4) as pool:
        begin = monotonic()
        answers = list(pool.map(lambda _: client.post("/predict", content=radiograph).status_code, range(count)))
    assert set(answers) == {200}
    return count / (monotonic() - begin)


def processor_seconds(pid):
    """User and system time of a process and its decode workers."""
    ticks = 0
    for process in (pid, *decode_workers(pid)):
        ticks += sum(map(int, stat_fields(process)[11:15]))  # utime, stime, and those of children that have ended
    return ticks / os.sysconf("SC_CLK_TCK")


def watch_memory(pid, highest, end):
    """Record the peak resident memory of a process, in kB."""
    while not end.wait(1.0):
        status = Path(f"/proc/{pid}/status").read_text()
        resident = int(re.search(r"VmHWM:\s+(\d+) kB", status)[1])
        highest["kB"] = max(resident, highest.get("kB", 0))
