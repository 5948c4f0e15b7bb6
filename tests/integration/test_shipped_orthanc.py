"""The shipped configuration in a real Orthanc: films go to the service, results do not, and none is lost."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from time import sleep

import pytest
from pydicom import dcmread

from tests.factories import chest_dicom
from tests.integration.orthanc import free_ports
from tests.integration.test_archive import stow
from tests.programs import installed
from tests.waiting import eventually

pytestmark = pytest.mark.integration

DEPLOY = Path(__file__).resolve().parent.parent.parent / "deploy/orthanc"
OF_THE_CONTAINER = {"StorageDirectory", "IndexDirectory", "TemporaryDirectory", "Plugins", "HttpPort", "DicomPort"}
SECONDARY_CAPTURE, PRESENTATION_STATE = "1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.11.1"


class Receiver:
    """DCMTK's storescp in the place of the service."""

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
    """Orthanc with the committed files; only what belongs to the container is another."""
    options = json.loads((DEPLOY / "orthanc.json").read_text())
    options = {name: value for name, value in options.items() if name not in OF_THE_CONTAINER}
    options["DicomModalities"]["medpatchnet"] |= {"Host": "127.0.0.1", "Port": int(receiver.command[-1])}
    options |= {
        "LuaScripts": [str(DEPLOY / Path(script).name) for script in options["LuaScripts"]],
        "RemoteAccessAllowed": False,
        "ExecuteLuaEnabled": True,  # so that a test need not wait for the heart to beat
    }
    return start_orthanc(options=options, users={"medpatchnet": "secret"})


def film(number: int, **attributes: object) -> bytes:
    return chest_dicom(SOPInstanceUID=f"1.2.3.{number}", **attributes)


def test_films_are_sent_on_and_results_are_not(shipped, receiver):
    receiver.start()
    results = [film(2, SOPClassUID=SECONDARY_CAPTURE), film(3, SOPClassUID=PRESENTATION_STATE)]
    assert stow(shipped, [*results, film(1), film(4)]).status_code == 200
    eventually(lambda: receiver.received() == {"1.2.3.1", "1.2.3.4"})
    with shipped.client() as client:
        jobs = client.get("/jobs?expand").json()
    assert len([job for job in jobs if job["Type"] == "DicomModalityStore"]) == 2


def test_what_could_not_be_sent_is_sent_again(shipped, receiver):
    assert stow(shipped, [film(1)]).status_code == 200
    with shipped.client() as client:
        eventually(lambda: [job["State"] for job in client.get("/jobs?expand").json()] == ["Failure"])
        receiver.start()

        def arrives_after_a_beat() -> bool:
            client.post("/tools/execute-script", content="OnHeartBeat()").raise_for_status()
            sleep(0.5)
            return receiver.received() == {"1.2.3.1"}

        eventually(arrives_after_a_beat)
        eventually(lambda: [job["State"] for job in client.get("/jobs?expand").json()] == ["Success"])
