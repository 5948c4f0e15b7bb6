"""A real Orthanc stores the objects and returns them unchanged, also after a kill."""

from io import BytesIO

import httpx
import pytest
from pydicom import dcmread

from tests.integration.orthanc import stow, wado
from tests.integration.test_report import KINDS, objects

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def results(client, rg1) -> list[bytes]:
    return [content for kind in KINDS for content in objects(client, rg1, kind)]


def test_objects_are_returned_byte_for_byte_in_the_study_of_the_radiograph(orthanc, rg1, results):
    film = dcmread(BytesIO(rg1), stop_before_pixels=True)
    answer = stow(orthanc, [rg1, *results])
    assert answer.status_code == 200, answer.text
    for content in results:
        made = dcmread(BytesIO(content))
        assert wado(orthanc, made) == content
        assert orthanc.file(made.SOPInstanceUID) == content
    with orthanc.client() as client:
        (study,) = client.get("/dicom-web/studies").json()
        assert study["0020000D"]["Value"] == [film.StudyInstanceUID]
        modalities = client.get(f"/dicom-web/studies/{film.StudyInstanceUID}/series").json()
    assert {series["00080060"]["Value"][0] for series in modalities} == {film.Modality, "SR", "OT", "PR"}


def test_storing_twice_changes_nothing(orthanc, rg1, results):
    stow(orthanc, [rg1, *results])
    before = sorted(orthanc.instances())
    stow(orthanc, results)
    assert sorted(orthanc.instances()) == before
    assert len(before) == 1 + len(results)


def test_stored_objects_survive_a_kill(orthanc, results):
    assert stow(orthanc, results).status_code == 200
    orthanc.kill()
    with pytest.raises(httpx.TransportError), orthanc.client() as client:
        client.get("/instances")
    orthanc.start()
    for content in results:
        assert wado(orthanc, dcmread(BytesIO(content))) == content


def test_an_archive_with_users_requires_credentials(start_orthanc):
    archive = start_orthanc(users={"medpatchnet": "secret"})
    assert httpx.get(f"{archive.dicomweb}/studies", trust_env=False).status_code == 401
    with archive.client() as client:
        assert client.get("/dicom-web/studies").status_code == 200
