"""A real Orthanc with its DICOMweb plugin: the archive that tests write, read and kill."""

import json
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from email import message_from_bytes
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
    """An Orthanc process on a folder. After ``kill`` or ``stop``, ``start`` continues with the same storage and ports.

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
        """Start, and wait until it responds. The first start selects free ports, and others if those are taken."""
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
        """SIGKILL: unwritten data is lost."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def instances(self) -> list[str]:
        """Orthanc ids of all stored instances."""
        with self.client() as client:
            return client.get("/instances").raise_for_status().json()

    def file(self, sop_instance_uid: str) -> bytes:
        """The stored file of one instance."""
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


def stow(archive: Orthanc, files: list[bytes]) -> httpx.Response:
    """Store files by STOW-RS (PS3.18 section 10.5)."""
    boundary = "a-boundary-of-the-tests"
    head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    body = b"".join(head + content + b"\r\n" for content in files) + f"--{boundary}--\r\n".encode()
    media_type = f'multipart/related; type="application/dicom"; boundary={boundary}'
    headers = {"Content-Type": media_type, "Accept": "application/dicom+json"}
    with archive.client() as client:
        return client.post("/dicom-web/studies", content=body, headers=headers)


def wado(archive: Orthanc, dataset) -> bytes:
    """Fetch one instance by WADO-RS (PS3.18 section 10.4)."""
    path = f"studies/{dataset.StudyInstanceUID}/series/{dataset.SeriesInstanceUID}/instances/{dataset.SOPInstanceUID}"
    headers = {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}
    with archive.client() as client:
        answer = client.get(f"/dicom-web/{path}", headers=headers).raise_for_status()
    message = message_from_bytes(f"Content-Type: {answer.headers['content-type']}\r\n\r\n".encode() + answer.content)
    (part,) = message.get_payload()
    return part.get_payload(decode=True)


def free_ports(count: int) -> list[int]:
    """Loopback ports that are free now; they are not reserved."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


@pytest.fixture
def start_orthanc(tmp_path_factory) -> Iterator[Callable[..., Orthanc]]:
    """Start a new Orthanc; keyword arguments are those of the class ``Orthanc``, without the folder."""
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
