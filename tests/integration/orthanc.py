"""A real Orthanc with its DICOMweb plugin: the archive that the tests store into, fetch from, and kill."""

import json
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep

import httpx
import pytest

from tests.programs import installed, lacking

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
START_TIMEOUT_S = 120
ATTEMPTS = 3


@dataclass
class Orthanc:
    """An Orthanc process over a folder. After ``kill`` or ``stop``, ``start`` goes on with the same storage and ports.

    ``options`` are further entries of its configuration, such as ``DicomModalities``; ``users`` have passwords.
    """

    folder: Path
    ae_title: str = "ORTHANC"
    options: Mapping[str, object] = field(default_factory=dict)
    users: Mapping[str, str] = field(default_factory=dict)
    http_port: int = 0
    dicom_port: int = 0
    process: subprocess.Popen | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def dicomweb(self) -> str:
        return f"{self.url}/dicom-web"

    @property
    def log(self) -> str:
        path = self.folder / "orthanc.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def client(self, timeout: float = 60.0) -> httpx.Client:
        credentials = next(iter(self.users.items()), None)
        return httpx.Client(base_url=self.url, timeout=timeout, trust_env=False, auth=credentials)

    def start(self) -> None:
        """Start, and wait until it answers; the first start takes free ports, and others where those were snatched."""
        chosen = bool(self.http_port)
        for _ in range(ATTEMPTS):
            if not chosen:
                self.http_port, self.dicom_port = free_ports(2)
            self._run()
            if self._becomes_ready():
                return
            self.kill()
        pytest.fail(f"Orthanc did not become ready:\n{self.log[-4000:]}")

    def kill(self) -> None:
        """SIGKILL: what it had not written is lost."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def instances(self) -> list[str]:
        """Orthanc's own ids of all stored instances."""
        with self.client() as client:
            return client.get("/instances").raise_for_status().json()

    def file(self, sop_instance_uid: str) -> bytes:
        """The stored file of one instance, as it lies in the archive."""
        with self.client() as client:
            (found,) = client.post("/tools/lookup", content=sop_instance_uid).raise_for_status().json()
            return client.get(f"/instances/{found['ID']}/file").raise_for_status().content

    def _run(self) -> None:
        (self.folder / "storage").mkdir(parents=True, exist_ok=True)
        path = self.folder / "orthanc.json"
        path.write_text(json.dumps(self._configuration(), indent=1))
        with (self.folder / "orthanc.log").open("ab") as log:
            self.process = subprocess.Popen(["/usr/sbin/Orthanc", str(path)], stdout=log, stderr=log)

    def _configuration(self) -> dict[str, object]:
        return {
            "Name": "tests",
            "StorageDirectory": str(self.folder / "storage"),
            "IndexDirectory": str(self.folder / "storage"),
            "Plugins": [str(PLUGIN)],
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
            "HttpPort": self.http_port,
            "DicomPort": self.dicom_port,
            "DicomAet": self.ae_title,
            "DicomCheckCalledAet": True,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": bool(self.users),
            "RegisteredUsers": dict(self.users),
            **self.options,
        }

    def _becomes_ready(self) -> bool:
        assert self.process is not None
        deadline = monotonic() + START_TIMEOUT_S
        with self.client(timeout=5) as client:
            while monotonic() < deadline and self.process.poll() is None:
                try:
                    if client.get("/dicom-web/studies?limit=1").status_code == 200:
                        return True
                except httpx.TransportError:
                    pass
                sleep(0.05)
        return False

    def _end(self, how: signal.Signals) -> None:
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(how)
        self.process.wait(60)
        self.process = None


def free_ports(count: int) -> list[int]:
    """Free loopback ports; nothing holds them until they are used."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


@pytest.fixture
def start_orthanc(tmp_path_factory) -> Iterator[Callable[..., Orthanc]]:
    """Start an Orthanc of its own; keyword arguments are those of the class ``Orthanc``, without the folder."""
    installed("Orthanc")
    if not PLUGIN.exists():
        lacking(str(PLUGIN))
    started: list[Orthanc] = []

    def start(**options: object) -> Orthanc:
        orthanc = Orthanc(tmp_path_factory.mktemp("orthanc"), **options)  # type: ignore[arg-type]
        started.append(orthanc)
        orthanc.start()
        return orthanc

    yield start
    for orthanc in started:
        orthanc.stop()


@pytest.fixture
def orthanc(start_orthanc) -> Orthanc:
    """An empty Orthanc."""
    return start_orthanc()
