"""Three replicas on one PostgreSQL: kills and restarts lose nothing, and a rolling restart fails no request.

A few radiographs and one kill; a thousand radiographs and thirty kills; the rolling restart:
``uv run pytest -m slow tests/integration/test_replicas.py -n 0 -s``.
"""

import gc
import random
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from time import monotonic, sleep

import httpx
import pytest
from pydicom import dcmread
from sqlalchemy import create_engine, text

from tests.artifacts import save_small_artifact
from tests.factories import chest_dicom
from tests.integration.conftest import RunningService, started
from tests.integration.orthanc import Orthanc, stow
from tests.integration.radiology import (
    DIMSE_SENDER,
    WEB_SENDER,
    free_port,
    new_study,
    pacs_settings,
    radiograph_as,
    send_until_accepted,
    write_config,
)
from tests.integration.tls import tls_proxy
from tests.postgres import Postgres, postgres_server
from tests.sockets import LEFT_BEHIND
from tests.waiting import eventually

pytestmark = [pytest.mark.integration, *LEFT_BEHIND]

REPLICAS = 3
STUDY_FILMS = 50


@dataclass
class Replica:
    """One service of the group; it keeps the port of its listener over restarts, and gets a new HTTP port."""

    settings: dict[str, object]
    dicom_port: int = 0
    service: RunningService = field(init=False)

    def start(self) -> "Replica":
        self.service = started(**self.settings)
        return self

    def kill(self) -> None:
        self.service.process.send_signal(signal.SIGKILL)
        self.service.stop()

    def post(self, path: str, **options) -> int:
        """The status of a request; 0 where the replica does not answer."""
        try:
            return httpx.post(f"{self.service.url}{path}", timeout=30, trust_env=False, **options).status_code
        except (httpx.TransportError, httpx.UnsupportedProtocol):  # gone, or not listening yet
            return 0


@pytest.fixture(autouse=True)
def sockets_are_collected() -> Iterator[None]:
    """Those that pynetdicom left behind, while the warnings about them are ignored."""
    yield
    gc.collect()


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> dict[str, object]:
    """The settings of a small model: what is tested here is around it."""
    folder = tmp_path_factory.mktemp("models")
    save_small_artifact(folder, "small")
    return {"models_dir": folder, "model": "small", "device": "cpu", "engine": "torch", "decode_workers": 1}


@contextmanager
def group(folder: Path, archive: Orthanc, database: Postgres, model: dict[str, object]) -> Iterator[list[Replica]]:
    """Three replicas, ready; the first one makes the tables and exports the model for all."""
    replicas: list[Replica] = []
    with ExitStack() as stack:
        for number in range(REPLICAS):
            own = folder / f"replica-{number}"
            own.mkdir()
            config = write_config(own, archive, outputs=("sr",), port=(port := free_port()))
            settings = pacs_settings(own, config) | {"database_url": database.url} | model
            replica = Replica(settings, port).start()
            stack.callback(lambda replica=replica: replica.service.stop())
            replicas.append(replica)
            replica.service.wait_until_ready()
        yield replicas


def leases_end(database: Postgres) -> None:
    """Ten minutes pass: work of a killed replica can be claimed by others, and so can work in progress."""
    engine = create_engine(database.url)
    with engine.begin() as connection:
        for table in ("jobs", "instances", "objects"):
            connection.execute(text(f"UPDATE {table} SET leased_until = leased_until - 601"))
    engine.dispose()


def films(count: int) -> list[bytes]:
    """Radiographs in studies of at most fifty."""
    source = chest_dicom()
    return [
        radiograph_as(source, study, number)
        for start in range(0, count, STUDY_FILMS)
        for study in [new_study()]
        for number in range(start, min(start + STUDY_FILMS, count))
    ]


def order_until_accepted(replicas: list[Replica], studies: list[str], chance: random.Random, done) -> None:
    """Request the analysis of each study from any replica until one accepts it; repeats have the same key."""
    for study in studies:
        path = f"/studies/{study}/analyze?source=archive&target=archive&object=sr"
        while chance.choice(replicas).post(path, headers={"Idempotency-Key": study}) != 202:
            sleep(0.2)
    done.set()


def studies_of(radiographs: list[bytes]) -> list[str]:
    return list(dict.fromkeys(dcmread(BytesIO(film)).StudyInstanceUID for film in radiographs))


def delivered_after_kills(folder, archive, model, *, count: int, kills: int, seed: int) -> None:
    """Half of the films arrive by C-STORE, half are in the archive; replicas and, once, the database are killed."""
    chance, by_dimse, by_web = random.Random(seed), films(count // 2), films(count - count // 2)
    for start in range(0, len(by_web), STUDY_FILMS):
        assert stow(archive, by_web[start : start + STUDY_FILMS]).status_code == 200
    with postgres_server() as database, group(folder, archive, database, model) as replicas:
        done = [threading.Event() for _ in range(REPLICAS + 1)]
        for number, replica in enumerate(replicas):
            sent, calling = by_dimse[number::REPLICAS], (WEB_SENDER, DIMSE_SENDER)[number % 2]
            arguments = (replica.dicom_port, sent, done[number], calling)
            threading.Thread(target=send_until_accepted, args=arguments, daemon=True).start()
        arguments = (replicas, studies_of(by_web), random.Random(seed + 1), done[-1])
        threading.Thread(target=order_until_accepted, args=arguments, daemon=True).start()
        for number in range(kills):
            sleep(chance.uniform(0.2, 4.0))
            killed = chance.choice(replicas)
            killed.kill()
            if number == kills // 2:
                database.stop()
                sleep(1.0)
                database.start()
            killed.start()
        for replica in replicas:
            replica.service.wait_until_ready()
        for event in done:
            eventually(event.is_set, timeout_s=1800)
        leases_end(database)
        eventually(lambda: len(archive.instances()) >= len(by_web) + count, timeout_s=3600, every_s=1)
        eventually(lambda: nothing_waits(replicas[0]), timeout_s=600, every_s=0.5)
        assert [replica.service.stop() for replica in replicas] == [0] * REPLICAS
    has_one_report_each(archive, by_dimse + by_web)


def nothing_waits(replica: Replica) -> bool:
    with replica.service.client() as client:
        metrics = client.get("/metrics").text
    for queue in ("jobs", "instances", "objects"):
        assert f'pacs_dead{{queue="{queue}"}} 0.0' in metrics
    return all(f'pacs_waiting{{queue="{queue}"}} 0.0' in metrics for queue in ("jobs", "instances", "objects"))


def has_one_report_each(archive: Orthanc, radiographs: list[bytes]) -> None:
    """Each radiograph is the source of exactly one report of the archive; there is nothing else."""
    sources: Counter[str] = Counter()
    with archive.client() as client:
        for found in archive.instances():
            content = client.get(f"/instances/{found}/file").raise_for_status().content
            dataset = dcmread(BytesIO(content))
            if dataset.Modality == "SR":
                (study,) = dataset.CurrentRequestedProcedureEvidenceSequence
                (series,) = study.ReferencedSeriesSequence
                (instance,) = series.ReferencedSOPSequence
                sources[instance.ReferencedSOPInstanceUID] += 1
    assert sources == Counter(dcmread(BytesIO(film)).SOPInstanceUID for film in radiographs)


@pytest.mark.slow
def test_replicas_deliver_every_result_once_after_a_kill_and_a_restart_of_the_database(tmp_path, orthanc, model):
    delivered_after_kills(tmp_path, orthanc, model, count=12, kills=1, seed=1)


@pytest.mark.slow
def test_a_thousand_films_over_three_replicas_after_thirty_kills(tmp_path, orthanc, model):
    begin = monotonic()
    delivered_after_kills(tmp_path, orthanc, model, count=1000, kills=30, seed=2)
    print(f"\n1,000 films, three replicas, 30 kills: complete after {monotonic() - begin:.0f} s")


@pytest.mark.slow
def test_a_rolling_restart_behind_the_proxy_fails_no_request(tmp_path, model):
    film, end, statuses = chest_dicom(), threading.Event(), Counter()
    settings = {"drain_delay_s": 2, **model}
    with ExitStack() as stack:
        services = [started(**settings) for _ in range(2)]
        stack.callback(lambda: [service.stop() for service in services])
        for service in services:
            service.wait_until_ready()
        proxy = stack.enter_context(tls_proxy(services[0].url, tmp_path))
        proxy.lead_to([service.url for service in services])
        callers = [threading.Thread(target=predict_all_the_time, args=(proxy, film, end, statuses)) for _ in range(2)]
        for caller in callers:
            caller.start()
        for number, old in enumerate(services):
            others = [service.url for service in services if service is not old]
            proxy.lead_to(others)
            assert old.stop() == 0
            services[number] = started(**settings)
            services[number].wait_until_ready()
            proxy.lead_to([*others, services[number].url])
        end.set()
        for caller in callers:
            caller.join(60)
    assert set(statuses) == {200}
    print(f"\n{statuses[200]} predictions during a rolling restart")


def predict_all_the_time(proxy, film: bytes, end: threading.Event, statuses: Counter) -> None:
    """Count the statuses of predictions; a request without an answer counts by the name of its error."""
    with httpx.Client(base_url=proxy.url, verify=proxy.trusted(), trust_env=False, timeout=120) as client:
        while not end.is_set():
            try:
                statuses[client.post("/predict", content=film).status_code] += 1
            except httpx.TransportError as error:
                statuses[type(error).__name__] += 1
