"""A full and a read-only disk under the database, on a real volume."""

import subprocess

import pytest

from tests.integration.conftest import started
from tests.integration.radiology import free_port, new_study, pacs_settings, radiograph_as, store, write_config
from tests.programs import installed
from tests.waiting import eventually

pytestmark = pytest.mark.integration

OUT_OF_RESOURCES = 0xA700
FILMS = 12


class Volume:
    """A tmpfs whose size and mount options change while it is in use."""

    def __init__(self, folder):
        self.folder = folder
        command = [installed("mount"), "-t", "tmpfs", "-o", "size=40m,mode=700", "tmpfs", folder]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"no permission to mount a file system: {done.stderr.strip()}")

    def remount(self, options):
        subprocess.run([installed("mount"), "-o", f"remount,{options}", self.folder], check=True)

    def unmount(self):
        subprocess.run([installed("umount"), "--lazy", self.folder], check=True)


@pytest.fixture
def volume(tmp_path):
    folder = tmp_path / "volume"
    folder.mkdir()
    volume = Volume(folder)
    yield volume
    volume.unmount()


@pytest.fixture
def pacs(volume, tmp_path, start_orthanc):
    """An archive, the settings of a service with its database on the volume, and the port of its listener."""
    archive, port = start_orthanc(), free_port()
    config = write_config(tmp_path, archive, outputs=("sr",), port=port, timeout_s=6)
    settings = pacs_settings(volume.folder, config, drain_timeout_s=5)
    return archive, settings, port


def send(port, films):
    """Indices of accepted radiographs, and the statuses of the others."""
    statuses = store(port, films)
    return {index for index, status in enumerate(statuses) if status == 0}, set(statuses) - {0}


def metrics(service):
    with service.client() as client:
        return client.get("/metrics").text


def test_a_full_disk_refuses_new_work_and_loses_no_accepted_work(pacs, volume, start_service, rg1):
    archive, settings, port = pacs
    service, study = start_service(**settings), new_study()
    films = [radiograph_as(rg1, study, number) for number in range(FILMS)]
    archive.kill()  # results cannot be delivered
    accepted, others = send(port, films)
    assert 0 < len(accepted) < FILMS
    assert others == {OUT_OF_RESOURCES}
    with service.client() as client:
        eventually(lambda: client.get("/readyz").status_code == 503)
        assert client.get("/livez").status_code == 200
        assert client.post("/predict", content=rg1).status_code == 200  # needs no database
        assert "SQLITE_FULL" in service.log
        eventually(lambda: "pacs_spool_bytes 0.0" not in metrics(service))  # the metric is updated meanwhile
        volume.remount("size=512m")
        eventually(lambda: client.get("/readyz").status_code == 200)
    archive.start()
    missing = [film for index, film in enumerate(films) if index not in accepted]
    assert send(port, missing) == (set(range(len(missing))), set())
    eventually(lambda: len(archive.instances()) == FILMS)
    eventually(lambda: "pacs_spool_bytes 0.0" in metrics(service))
    assert service.stop() == 0


def test_a_read_only_disk_prevents_the_start_and_loses_no_accepted_work(pacs, volume, start_service, rg1):
    archive, settings, port = pacs
    service = start_service(**settings)
    archive.kill()
    assert send(port, [radiograph_as(rg1, new_study(), 1)]) == ({0}, set())
    assert service.stop() == 0
    volume.remount("ro")
    refused = started(**settings)
    assert refused.process.wait(60) == 1
    refused.stop()
    assert "the database cannot be opened for writing" in refused.log
    volume.remount("rw")
    archive.start()
    service = start_service(**settings)
    eventually(lambda: len(archive.instances()) == 1)
    eventually(lambda: "pacs_spool_bytes 0.0" in metrics(service))
