"""A real Orthanc takes the objects in and gives them back as they were, also after it was killed."""

from email import message_from_bytes
from io import BytesIO

import httpx
import pytest
from pydicom import dcmread

from tests.integration.orthanc import Orthanc
from tests.integration.test_report import KINDS, objects

pytestmark = pytest.mark.integration


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


@pytest.fixture(scope="module")
def results(client, rg1) -> list[bytes]:
    return [content for kind in KINDS for content in objects(client, rg1, kind)]


def test_objects_come_back_byte_for_byte_and_lie_beside_the_film(orthanc, rg1, results):
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


def test_what_was_stored_is_there_after_a_kill(orthanc, results):
    assert stow(orthanc, results).status_code == 200
    orthanc.kill()
    with pytest.raises(httpx.TransportError), orthanc.client() as client:
        client.get("/instances")
    orthanc.start()
    for content in results:
        assert wado(orthanc, dcmread(BytesIO(content))) == content


def test_an_archive_with_users_lets_nobody_else_in(start_orthanc):
    archive = start_orthanc(users={"medpatchnet": "secret"})
    assert httpx.get(f"{archive.dicomweb}/studies", trust_env=False).status_code == 401
    with archive.client() as client:
        assert client.get("/dicom-web/studies").status_code == 200
