"""A real server in a process of its own, as an integration engineer would start it."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep

import httpx
import pytest

from tests.factories import example
from tests.integration.orthanc import orthanc, start_orthanc  # noqa: F401 - fixtures of all integration tests

START_TIMEOUT_S = 240


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

    def client(self, timeout=60.0, **options) -> httpx.Client:
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
        status = self.process.wait(60)
        self.follower.join(10)
        self.process.stderr.close()
        return status


def _follow(service: RunningService) -> None:
    for line in service.process.stderr:
        service.lines.append(line.rstrip("\n"))
        if match := re.search(r"listening on (http://\S+)", line):
            service.url = match[1]
        if match := re.search(r"operations on (http://\S+)", line):
            service.admin_url = match[1]


def started(*flags: str, **settings: object) -> RunningService:
    """`medpatchnet serve` on a free loopback port, with settings as keyword arguments; ready or not."""
    kept = {"MEDPATCHNET_CACHE_DIR"}
    environment = {
        name: value for name, value in os.environ.items() if name in kept or not name.startswith("MEDPATCHNET_")
    }
    environment |= {f"MEDPATCHNET_{name.upper()}": str(value) for name, value in settings.items()}
    process = subprocess.Popen(
        [sys.executable, "-m", "app.cli", "serve", "--port", "0", *flags],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    return RunningService(process)


@pytest.fixture(scope="module")
def start_service() -> Iterator[Callable[..., RunningService]]:
    """Start `medpatchnet serve` and wait until it is ready; it is stopped after the last test of the file."""
    services: list[RunningService] = []

    def start(*flags: str, **settings: object) -> RunningService:
        service = started(*flags, **settings)
        services.append(service)
        service.wait_until_ready()
        return service

    yield start
    for service in services:
        service.stop()


@pytest.fixture(scope="session")
def service() -> Iterator[RunningService]:
    """The service with its default settings and the shipped model, for all tests that leave it as it is."""
    service = started()
    service.wait_until_ready()
    yield service
    service.stop()


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
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MEDPATCHNET_")}
    environment |= {f"MEDPATCHNET_{name.upper()}": str(value) for name, value in settings.items()} | {"COLUMNS": "120"}
    command = [sys.executable, "-m", "app.cli", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=240)


def make_key(path: Path, *scopes: str) -> tuple[Path, str]:
    """A file with one key for some scopes, and the key."""
    words = [word for scope in scopes for word in ("--scope", scope)]
    made = medpatchnet("keys", "new", "pacs", *words, api_keys_file=path)
    assert made.returncode == 0, made.stderr
    return path, made.stdout.strip()


@pytest.fixture(scope="module")
def keys(tmp_path_factory) -> tuple[Path, str]:
    """A file with one key, for ``predict`` and ``explain``, and the key."""
    return make_key(tmp_path_factory.mktemp("keys") / "keys.json", "predict", "explain")


@pytest.fixture(scope="module")
def guarded(start_service, keys) -> RunningService:
    """A service that listens on every address and asks for a key; operations are on a port of their own."""
    return start_service("--host", "0.0.0.0", api_keys_file=keys[0], admin_port=0)
