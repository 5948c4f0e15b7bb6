"""The disk of the database is full or read-only, on a real volume of its own."""

import subprocess

import pytest

from tests.integration.conftest import started
from tests.integration.radiology import film_as, free_port, network_settings, new_study, store, write_config
from tests.programs import installed
from tests.waiting import eventually

pytestmark = pytest.mark.integration

OUT_OF_RESOURCES = 0xA700
FILMS = 12


class Volume:
    """A file system in memory whose size and rights change while it is in use."""

    def __init__(self, folder):
        self.folder = folder
        command = [installed("mount"), "-t", "tmpfs", "-o", "size=40m,mode=700", "tmpfs", folder]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"no right to mount a file system: {done.stderr.strip()}")

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
def network(volume, tmp_path, start_orthanc):
    """An archive, the settings of a service whose database lies on the volume, and the port of its listener."""
    archive, port = start_orthanc(), free_port()
    config = write_config(tmp_path, archive, outputs=("sr",), port=port, timeout_s=6)
    settings = network_settings(volume.folder, config, drain_timeout_s=5)
    return archive, settings, port


def send(port, films):
    """Which films were accepted, and the statuses of the others."""
    statuses = store(port, films)
    return {index for index, status in enumerate(statuses) if status == 0}, set(statuses) - {0}


def metrics(service):
    with service.client() as client:
        return client.get("/metrics").text


def test_a_full_disk_refuses_new_work_and_loses_nothing_accepted(network, volume, start_service, rg1):
    archive, settings, port = network
    service, study = start_service(**settings), new_study()
    films = [film_as(rg1, study, number) for number in range(FILMS)]
    archive.kill()  # so that everything stays
    accepted, others = send(port, films)
    assert 0 < len(accepted) < FILMS
    assert others == {OUT_OF_RESOURCES}
    with service.client() as client:
        eventually(lambda: client.get("/readyz").status_code == 503)
        assert client.get("/livez").status_code == 200
        assert client.post("/predict", content=rg1).status_code == 200  # which needs no database
        assert "SQLITE_FULL" in service.log
        eventually(lambda: "pacs_spool_bytes 0.0" not in metrics(service))  # what is kept is told meanwhile
        volume.remount("size=512m")
        eventually(lambda: client.get("/readyz").status_code == 200)
    archive.start()
    missing = [film for index, film in enumerate(films) if index not in accepted]
    assert send(port, missing) == (set(range(len(missing))), set())
    eventually(lambda: len(archive.instances()) == FILMS)
    eventually(lambda: "pacs_spool_bytes 0.0" in metrics(service))
    assert service.stop() == 0


@pytest.mark.thorough
def test_a_read_only_disk_stops_the_start_and_loses_nothing_accepted(network, volume, start_service, rg1):
    archive, settings, port = network
    service = start_service(**settings)
    archive.kill()
    assert send(port, [film_as(rg1, new_study(), 1)]) == ({0}, set())
    assert service.stop() == 0
    volume.remount("ro")
    refused = started(**settings)
    assert refused.process.wait(300) == 1
    refused.stop()
    assert "the database cannot be opened for writing" in refused.log
    volume.remount("rw")
    archive.start()
    service = start_service(**settings)
    eventually(lambda: len(archive.instances()) == 1)
    eventually(lambda: "pacs_spool_bytes 0.0" in metrics(service))
