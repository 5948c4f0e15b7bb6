"""A real server in a process of its own, as an integration engineer would start it."""

import fcntl
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep

import httpx
import pytest

from tests.factories import example
from tests.integration.orthanc import orthanc, start_orthanc  # noqa: F401 - fixtures of all integration tests

START_TIMEOUT_S = 600
LONG_DEADLINES = {"request_timeout_s": 600, "decode_timeout_s": 60}
"""Deadlines that a busy machine can meet, unless a test sets its own."""

OF_THE_TESTS = {"OMP_NUM_THREADS", "COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START"}

DECISIONS = Path(__file__).with_name("decisions.yaml")


@dataclass
class RunningService:
    """A `medpatchnet serve` process, its address, and everything it wrote to stderr."""

    process: subprocess.Popen
    url: str = ""
    admin_url: str = ""
    lines: list[str] = field(default_factory=list)
    follower: threading.Thread = field(init=False)

    def __post_init__(self):
        self.follower = threading.Thread(target=_follow, args=(self,), daemon=True)
        self.follower.start()

    @property
    def log(self) -> str:
        return "\n".join(self.lines)

    def client(self, timeout=300.0, **options) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=timeout, trust_env=False, **options)

    def wait_until_ready(self) -> None:
        deadline = monotonic() + START_TIMEOUT_S
        while monotonic() < deadline and self.process.poll() is None:
            try:
                if self.url and httpx.get(f"{self.url}/readyz", trust_env=False).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            sleep(0.05)
        pytest.fail(f"the service did not become ready:\n{self.log}")

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(300)
        self.follower.join(10)
        self.process.stderr.close()
        return status


def _follow(service: RunningService) -> None:
    for line in service.process.stderr:
        service.lines.append(line.rstrip("\n"))
        if match := re.search(r'"url": "([^"]+)", "event": "(listening|operations)"', line):
            if match[2] == "listening":
                service.url = match[1]
            else:
                service.admin_url = match[1]


def started(*flags: str, **settings: object) -> RunningService:
    """`medpatchnet serve` on a free loopback port, with settings as keyword arguments; ready or not."""
    process = subprocess.Popen(
        [sys.executable, "-m", "app.cli", "serve", "--port", "0", *flags],
        env=environment(**LONG_DEADLINES | settings),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    return RunningService(process)


def environment(**settings: object) -> dict[str, str]:
    """The environment of a process of the product: settings as keyword arguments, and the tests' cache of exports.

    Limits of threads and the measuring of coverage are for the process of the tests alone.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in OF_THE_TESTS and (name == "MEDPATCHNET_CACHE_DIR" or not name.startswith("MEDPATCHNET_"))
    }
    return kept | {f"MEDPATCHNET_{name.upper()}": str(value) for name, value in settings.items()}


@contextmanager
def running(*flags: str, **settings: object) -> Iterator[RunningService]:
    """``started``, ready; it is stopped in the end."""
    with ExitStack() as stack:
        with one_exporter():
            service = started(*flags, **settings)
            stack.callback(service.stop)
            service.wait_until_ready()
        yield service


@contextmanager
def one_exporter() -> Iterator[None]:
    """While the cache is empty, start one service after another: the first exports the model for all."""
    folder = Path(os.environ["MEDPATCHNET_CACHE_DIR"])
    with (folder / "lock").open("w") as lock:
        if not any(folder.glob("openvino-*")):
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="module")
def start_service() -> Iterator[Callable[..., RunningService]]:
    """Start `medpatchnet serve` and wait until it is ready; it is stopped after the last test of the file."""
    with ExitStack() as services:
        yield lambda *flags, **settings: services.enter_context(running(*flags, **settings))


@pytest.fixture(scope="session")
def service() -> Iterator[RunningService]:
    """The service with the shipped model, for all tests that leave it as it is.

    A site file decides two findings, so that the tests do not depend on the quality of the shipped weights.
    """
    with running(operating_points_file=DECISIONS) as service:
        yield service


@pytest.fixture(scope="session")
def client(service) -> Iterator[httpx.Client]:
    with service.client() as client:
        yield client


@pytest.fixture(scope="session")
def rg1() -> bytes:
    """A real chest radiograph with several masses: CR, MONOCHROME1, JPEG 2000 lossless."""
    return example("RG1_J2KR.dcm")


def medpatchnet(*arguments: object, cwd: Path | None = None, **settings: object) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end, with settings as keyword arguments."""
    command = [sys.executable, "-m", "app.cli", *map(str, arguments)]
    variables = environment(**settings) | {"COLUMNS": "120"}
    return subprocess.run(command, cwd=cwd, env=variables, capture_output=True, text=True, check=False, timeout=600)


def make_key(path: Path, *scopes: str) -> tuple[Path, str]:
    """A file with one key for some scopes, and the key."""
    words = [word for scope in scopes for word in ("--scope", scope)]
    made = medpatchnet("keys", "new", "pacs", *words, api_keys_file=path)
    assert made.returncode == 0, made.stderr
    return path, made.stdout.strip()


@pytest.fixture(scope="session")
def keys(tmp_path_factory) -> tuple[Path, str]:
    """A file with one key, for ``predict`` and ``explain``, and the key."""
    return make_key(tmp_path_factory.mktemp("keys") / "keys.json", "predict", "explain")


@pytest.fixture(scope="session")
def guarded(keys) -> Iterator[RunningService]:
    """A service that listens on every address and asks for a key; operations are on a port of their own."""
    with running("--host", "0.0.0.0", api_keys_file=keys[0], admin_port=0) as service:
        yield service
