"""The shipped configuration in a real Orthanc: it forwards radiographs, not results, and loses none."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from time import sleep

import pytest
from pydicom import dcmread

from tests.factories import chest_dicom
from tests.integration.orthanc import free_ports, stow
from tests.programs import installed
from tests.waiting import eventually

pytestmark = pytest.mark.integration

DEPLOY = Path(__file__).resolve().parent.parent.parent / "deploy/orthanc"
OF_THE_CONTAINER = {"StorageDirectory", "IndexDirectory", "TemporaryDirectory", "Plugins", "HttpPort", "DicomPort"}
SECONDARY_CAPTURE, PRESENTATION_STATE = "1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.11.1"


class Receiver:
    """DCMTK's storescp in place of the service."""

    def __init__(self, program: str, folder: Path, port: int) -> None:
        self.command = [program, "--aetitle", "MEDPATCHNET", "--output-directory", str(folder), "+xa", str(port)]
        self.folder = folder
        self.process: subprocess.Popen | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            self.process = None

    def received(self) -> set[str]:
        return {str(dcmread(path, force=True).SOPInstanceUID) for path in self.folder.iterdir()}


@pytest.fixture
def receiver(tmp_path) -> Iterator[Receiver]:
    (tmp_path / "received").mkdir()
    receiver = Receiver(installed("storescp"), tmp_path / "received", free_ports(1)[0])
    yield receiver
    receiver.stop()


@pytest.fixture
def shipped(start_orthanc, receiver):
    """Orthanc with the shipped files; only the entries of the container are replaced."""
    options = json.loads((DEPLOY / "orthanc.json").read_text())
    options = {name: value for name, value in options.items() if name not in OF_THE_CONTAINER}
    options["DicomModalities"]["medpatchnet"] |= {"Host": "127.0.0.1", "Port": int(receiver.command[-1])}
    options |= {
        "LuaScripts": [str(DEPLOY / Path(script).name) for script in options["LuaScripts"]],
        "RemoteAccessAllowed": False,
        "ExecuteLuaEnabled": True,  # tests do not wait for the heartbeat
    }
    return start_orthanc(options=options, users={"medpatchnet": "secret"})


def radiograph(number: int, **attributes: object) -> bytes:
    return chest_dicom(SOPInstanceUID=f"1.2.3.{number}", **attributes)


def test_radiographs_are_forwarded_and_results_are_not(shipped, receiver):
    receiver.start()
    results = [radiograph(2, SOPClassUID=SECONDARY_CAPTURE), radiograph(3, SOPClassUID=PRESENTATION_STATE)]
    assert stow(shipped, [*results, radiograph(1), radiograph(4)]).status_code == 200
    eventually(lambda: receiver.received() == {"1.2.3.1", "1.2.3.4"}, timeout_s=60)
    with shipped.client() as client:
        jobs = client.get("/jobs?expand").json()
    assert len([job for job in jobs if job["Type"] == "DicomModalityStore"]) == 2


def test_a_failed_transfer_is_repeated(shipped, receiver):
    assert stow(shipped, [radiograph(1)]).status_code == 200
    with shipped.client() as client:
        eventually(lambda: [job["State"] for job in client.get("/jobs?expand").json()] == ["Failure"], timeout_s=60)
        receiver.start()

        def arrives_after_a_heartbeat() -> bool:
            client.post("/tools/execute-script", content="OnHeartBeat()").raise_for_status()
            sleep(0.5)
            return receiver.received() == {"1.2.3.1"}

        eventually(arrives_after_a_heartbeat, timeout_s=60)
        eventually(lambda: [job["State"] for job in client.get("/jobs?expand").json()] == ["Success"], timeout_s=60)
