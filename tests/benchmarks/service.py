"""End to end over HTTP: throughput and latency beside peers, mixed load, memory, start."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

import httpx
import torch

from app.inference.choice import EngineOptions, make_engines
from app.patchnet import artifact
from tests.benchmarks.measure import Report, interleaved, percentile
from tests.benchmarks.networks import MODELS
from tests.benchmarks.stages import jpeg_film

ROOT = Path(__file__).resolve().parent.parent.parent
JPEG = {"Content-Type": "image/jpeg"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def running(
    command: list[str], url: str, ready: str, folder: Path = ROOT, **environment: str
) -> Iterator[subprocess.Popen[bytes]]:
    """A server process in ``folder``, ready when its ``ready`` path answers 200; it is stopped with its children."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command, cwd=folder, env={**os.environ, **environment}, stdout=log, stderr=log, start_new_session=True
        )
        try:
            deadline = perf_counter() + 300
            while True:
                if process.poll() is not None or perf_counter() > deadline:
                    log.seek(0)
                    raise RuntimeError(f"{command[:4]} did not start:\n{log.read().decode()[-3000:]}")
                try:
                    if httpx.get(url + ready, trust_env=False, timeout=5).status_code == 200:
                        break
                except httpx.TransportError:
                    pass
                asyncio.run(asyncio.sleep(0.02))
            yield process
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@contextmanager
def ours(**settings: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    port = free_port()
    environment = {f"MEDPATCHNET_{name.upper()}": value for name, value in settings.items()}
    command = [sys.executable, "-m", "app.cli", "serve", "--port", str(port)]
    url = f"http://127.0.0.1:{port}"
    with running(command, url, "/readyz", **environment) as process:
        yield url, process


@contextmanager
def peer(name: str) -> Iterator[tuple[str, str]]:
    """LitServe or BentoML in an environment of its own beside the project's; yields the URL and the form's field."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    prefix = ["uv", "run", "--isolated", "--with", name, "--no-dev"]
    if name == "litserve":
        command = [*prefix, "python", "-m", "tests.benchmarks.peers.litserve_peer", str(port)]
    else:
        target = "tests.benchmarks.peers.bentoml_peer:ChestFilms"
        command = [*prefix, "bentoml", "serve", target, "--host", "127.0.0.1", "--port", str(port)]
    with running(command, url, "/health" if name == "litserve" else "/readyz", BENTOML_DO_NOT_TRACK="1"):
        yield f"{url}/predict", "film"


@dataclass(frozen=True)
class Load:
    """Successful responses a second, their latencies in seconds, and the number of failed requests."""

    rate: float
    waits: list[float]
    failed: int

    def whole(self) -> "Load":
        """Itself. Raises RuntimeError if a request failed."""
        if self.failed:
            raise RuntimeError(f"{self.failed} requests failed")
        return self


async def load(url: str, field: str | None, films: list[bytes], clients: int, requests: int) -> Load:
    """A closed loop of ``clients`` that send ``requests`` in all."""
    waits: list[float] = []
    numbers = iter(range(requests))

    async def work(client: httpx.AsyncClient) -> None:
        for number in numbers:
            film = films[number % len(films)]
            begin = perf_counter()
            if field is None:
                answer = await client.post(url, content=film, headers=JPEG)
            else:
                answer = await client.post(url, files={field: ("film.jpg", film, "image/jpeg")})
            if answer.is_success:
                waits.append(perf_counter() - begin)

    begin = perf_counter()
    async with opened_clients(clients) as opened:
        await asyncio.gather(*(work(client) for client in opened))
    return Load(len(waits) / (perf_counter() - begin), waits, requests - len(waits))


@asynccontextmanager
async def opened_clients(count: int) -> AsyncIterator[list[httpx.AsyncClient]]:
    clients = [httpx.AsyncClient(timeout=120, trust_env=False) for _ in range(count)]
    try:
        yield clients
    finally:
        await asyncio.gather(*(client.aclose() for client in clients))


def throughput(report: Report, rounds: int, requests: int = 200) -> None:
    """8 clients with JPEG radiographs of 720 px: the service, LitServe, BentoML in turns; the bare engine as limit."""
    films = [jpeg_film(seed=seed) for seed in range(16)]
    engine = make_engines(lambda: artifact.load(MODELS / "chest-lite0").network.backbone, 64, EngineOptions())[0]
    patches = torch.rand(512, 1, 64, 64)
    found: dict[str, list[Load]] = {}
    bare: list[float] = []
    with ours() as (url, _), peer("litserve") as lit, peer("bentoml") as bento:
        targets: dict[str, tuple[str, str | None]] = {
            "ours": (f"{url}/predict", None),
            "LitServe": lit,
            "BentoML": bento,
        }
        for target in targets.values():
            asyncio.run(load(*target, films, 8, 32))
        for _ in range(rounds):
            bare.append(8 / interleaved({"engine": lambda: engine.patch_logits(patches)}, 5)["engine"])
            for name, target in targets.items():
                found.setdefault(name, []).append(asyncio.run(load(*target, films, 8, requests)))
    limit = median(bare)
    rows = [{"server": "bare engine", "images/s": limit, "share": 1.0, "p95 ms": 0.0, "failed": 0}]
    for name, loads in found.items():
        rate, p95 = median(part.rate for part in loads), median(percentile(part.waits, 95) for part in loads)
        failed = sum(part.failed for part in loads)
        rows.append({"server": name, "images/s": rate, "share": rate / limit, "p95 ms": p95 * 1e3, "failed": failed})
    report.add("End to end: 8 clients, JPEG 720 px, chest-lite0", rows)


def latency(report: Report, requests: int = 100) -> None:
    """One request at a time: its time, and its stages as the service reports them."""
    with ours() as (url, _), httpx.Client(base_url=url, trust_env=False) as client:
        film = jpeg_film()
        waits, named = [], []
        for _ in range(requests):
            begin = perf_counter()
            timing = client.post("/predict", content=film, headers=JPEG).json()["timing_ms"]
            waits.append((perf_counter() - begin) * 1e3)
            named.append(sum(value for stage, value in timing.items() if stage != "total"))
    wait, stages = percentile(waits, 50), percentile(named, 50)
    report.add("One idle request", [{"request ms": wait, "sum of stages ms": stages, "×": wait / stages}])


def mixed(report: Report, requests: int = 150) -> None:
    """Predictions of one client, alone and while maps of offset 4 are computed."""
    films = [jpeg_film(seed=seed) for seed in range(4)]

    async def measured(url: str) -> tuple[list[float], list[float]]:
        await load(f"{url}/predict", None, films, 1, 20)
        alone = (await load(f"{url}/predict", None, films, 1, requests)).whole().waits
        async with httpx.AsyncClient(timeout=600, trust_env=False) as client:
            maps = [
                asyncio.create_task(
                    client.post(f"{url}/explain?class=Edema&offset=4&format=png", content=films[0], headers=JPEG)
                )
                for _ in range(2)
            ]
            await asyncio.sleep(1)
            beside = (await load(f"{url}/predict", None, films, 1, requests)).whole().waits
            busy = not any(task.done() for task in maps)
            for answer in await asyncio.gather(*maps):
                answer.raise_for_status()
        if not busy:
            beside = beside[: len(beside) // 3]
        return alone, beside

    with ours() as (url, _):
        alone, beside = asyncio.run(measured(url))
    one, two = percentile(alone, 95) * 1e3, percentile(beside, 95) * 1e3
    report.add("Predictions beside maps of offset 4", [{"p95 alone ms": one, "p95 beside ms": two, "×": two / one}])


def memory(report: Report, requests: int = 10_000) -> None:
    """Resident memory, threads and files of the service while it answers many requests."""
    films = [jpeg_film(seed=seed) for seed in range(16)]
    rows = []
    with ours() as (url, process):
        asyncio.run(load(f"{url}/predict", None, films, 8, 500))
        step = requests // 10
        for done in range(0, requests + 1, step):
            status = dict(
                line.split(":\t", 1)
                for line in Path(f"/proc/{process.pid}/status").read_text().splitlines()
                if ":\t" in line
            )
            rows.append(
                {
                    "requests": done,
                    "resident MB": int(status["VmRSS"].split()[0]) / 1024,
                    "threads": int(status["Threads"]),
                    "files": len(os.listdir(f"/proc/{process.pid}/fd")),
                }
            )
            if done < requests:
                asyncio.run(load(f"{url}/predict", None, films, 8, step)).whole()
    count, size = [row["requests"] for row in rows], [row["resident MB"] for row in rows]
    mean = sum(count) / len(count), sum(size) / len(size)
    slope = sum((x - mean[0]) * (y - mean[1]) for x, y in zip(count, size, strict=True))
    slope /= sum((x - mean[0]) ** 2 for x in count)
    report.add(f"Memory: {slope * 1000:.2f} MB per 1,000 requests", rows)


def start(report: Report) -> None:
    """Seconds from the command to readiness, without and with a cached export."""
    with tempfile.TemporaryDirectory() as cache:
        rows = []
        for kind in ("no cache", "cache", "cache"):
            begin = perf_counter()
            with ours(cache_dir=cache):
                rows.append({"start": kind, "seconds": perf_counter() - begin})
        shutil.rmtree(cache, ignore_errors=True)
        os.mkdir(cache)
    report.add("From command to ready", rows)
