"""An archive scored on Ray: the results of the service, each film once, after lost workers and nodes.

One local run here; a killed worker, and 2,000 films on three nodes of which one is lost:
``uv run pytest -m slow tests/integration/test_batch.py -n 0 -s``.
"""

import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import psutil
import pyarrow.parquet as pq
import pytest

from app.patchnet.findings import FINDING_NAMES
from tests.artifacts import save_small_artifact
from tests.factories import chest_dicom, film
from tests.integration.conftest import environment, running
from tests.outward import Recorder
from tests.waiting import eventually

if TYPE_CHECKING:
    from ray.cluster_utils import Cluster

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("ray")]

FEW, MANY = 24, 400


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> dict[str, object]:
    """The settings of a small model."""
    folder = tmp_path_factory.mktemp("models")
    save_small_artifact(folder, "small")
    return {"models_dir": folder, "model": "small", "device": "cpu", "engine": "torch", "decode_workers": 1}


def archive_of(films: int, folder: Path) -> Path:
    """A folder with radiographs, of which 24 differ, and a file that is none."""
    folder.mkdir()
    contents = [chest_dicom(film() // (number + 1)) for number in range(24)]
    for number in range(films):
        (folder / f"{number}.dcm").write_bytes(contents[number % 24])
    (folder / "notes.txt").write_text("no radiograph")
    return folder


@pytest.fixture
def ray_folder() -> Iterator[Path]:
    """A folder with a short name: Ray binds sockets in it, whose paths have at most 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="r", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def cluster_of(nodes: int, monkeypatch) -> Iterator["Cluster"]:
    """A Ray cluster of several nodes on this machine, each of which has one core."""
    from ray.cluster_utils import Cluster

    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        for _ in range(nodes - 1):
            cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        yield cluster
    finally:
        cluster.shutdown()


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "app.cli", "batch", *map(str, arguments)]


def finished(process: subprocess.Popen) -> str:
    """What a run wrote to stderr, after its successful end."""
    _, errors = process.communicate(timeout=3000)
    assert process.returncode == 0, errors
    return errors


def start(*arguments: object, **settings: object) -> subprocess.Popen:
    return subprocess.Popen(command(*arguments), env=environment(**settings), stderr=subprocess.PIPE, text=True)


def own_addresses() -> set[str]:
    """The names and addresses of this machine, which Ray looks up; nothing is sent there."""
    name = socket.gethostname()
    return {"0.0.0.0", name, *(str(address[4][0]) for address in socket.getaddrinfo(name, None)), *interfaces()}


def interfaces() -> set[str]:
    return {address.address for found in psutil.net_if_addrs().values() for address in found}


def rows_of(out: Path) -> dict[str, dict]:
    """The rows by location, each of which has exactly one."""
    rows = pq.read_table(out).to_pylist()
    by_location = {row["location"]: row for row in rows}
    assert len(by_location) == len(rows)
    return by_location


def are_those_of_the_service(rows: dict[str, dict], **settings: object) -> None:
    """Compare every row with the response of a service with the same settings."""
    with running(**settings) as service, service.client() as client:
        for location, row in rows.items():
            answer = client.post("/predict?grids=true", content=Path(location).read_bytes())
            if row["error"]:
                assert answer.json()["type"].split(":")[-1] == row["error"]
                continue
            agrees(row, answer)


def agrees(row: dict, answer: httpx.Response) -> None:
    body = answer.raise_for_status().json()
    findings = {item["name"]: item for item in body["findings"]}
    grids = {item["finding"]: item["patch_logits"] for item in body["grids"]}
    for name in FINDING_NAMES:
        column = name.lower().replace(" ", "_")
        assert row[f"probability_{column}"] == pytest.approx(findings[name]["probability"], abs=1e-5)
        assert row[f"positive_{column}"] == findings[name]["positive"]
        served = [value for line in grids[name] or [] for value in line]
        assert (row[f"patch_logits_{column}"] or []) == pytest.approx(served, abs=1e-5)


def scorers() -> list[psutil.Process]:
    """The worker processes of all nodes that score films."""
    return [process for process in psutil.process_iter(["cmdline"]) if is_scorer(process)]


def is_scorer(process: psutil.Process) -> bool:
    return " ".join(process.info["cmdline"] or ()).startswith("ray::MapWorker(MapBatches(PartScorer))")


def parts_in(out: Path) -> int:
    return len(list(out.glob("*.parquet")))


@pytest.mark.thorough
def test_a_local_run_reaches_nothing_and_gives_the_results_of_the_service(model, tmp_path, ray_folder):
    recorder, out = Recorder(ray_folder), tmp_path / "out"
    arguments = command(archive_of(FEW, tmp_path / "archive"), "--out", out, "--identifiers")
    variables = environment(**model) | recorder.environment
    done = subprocess.run(arguments, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert re.search(r"24 scored, 1 refused, 0 unchanged", done.stderr)
    assert {what for _, what in recorder.beyond(out)} <= own_addresses()
    assert list(recorder.home.iterdir()) == []
    are_those_of_the_service(rows_of(out), **model)


@pytest.mark.slow
def test_each_film_has_one_row_after_a_killed_worker_and_a_lost_node(model, tmp_path, monkeypatch):
    archive, out = archive_of(MANY, tmp_path / "archive"), tmp_path / "out"
    with cluster_of(2, monkeypatch) as cluster:
        arguments = (archive, "--out", out, "--identifiers", "--address", cluster.address)
        process = start(*arguments, **model)
        eventually(lambda: parts_in(out) >= 1)
        scorers()[0].send_signal(signal.SIGKILL)
        cluster.remove_node(cluster.list_all_nodes()[-1], allow_graceful=False)
        finished(process)
        assert len(rows_of(out)) == MANY + 1
        assert "401 films are in the data set, 0 to do" in finished(start(*arguments, **model))


@pytest.mark.slow
def test_two_thousand_films_on_three_nodes_of_which_one_is_lost(shared, tmp_path, monkeypatch):
    """With the shipped model. Prints the rate; asserts rows and results, never a time."""
    sources = sorted((shared / "data/nih-cxr-natural/train").rglob("*.jpg"))[:2000]
    archive, out = tmp_path / "archive", tmp_path / "out"
    archive.mkdir()
    for source in sources:
        (archive / source.name).symlink_to(source)
    with cluster_of(3, monkeypatch) as cluster:
        arguments = (archive, "--out", out, "--identifiers", "--address", cluster.address)
        process = start(*arguments)
        eventually(lambda: parts_in(out) >= 8, timeout_s=3000)
        cluster.remove_node(cluster.list_all_nodes()[-1], allow_graceful=False)
        print("\n" + finished(process))
        second = finished(start(*arguments))
    assert "2,000 films are in the data set, 0 to do" in second
    rows = rows_of(out)
    assert len(rows) == 2000
    are_those_of_the_service(dict(list(rows.items())[::10]))
