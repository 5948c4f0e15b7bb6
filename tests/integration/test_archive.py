"""A real Orthanc stores the objects and returns them unchanged, also after a kill."""

import asyncio
from io import BytesIO

import httpx
import pytest
from pydicom import dcmread, uid

from app.pacs.nodes import DimseNode
from app.pacs.transport.dimse import DimseClient
from app.pacs.values import Result
from tests.factories import chest_dicom
from tests.integration.orthanc import stow, wado
from tests.integration.test_report import KINDS, objects

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def results(client, rg1) -> list[bytes]:
    return [content for kind in KINDS for content in objects(client, rg1, kind)]


def test_objects_are_returned_byte_for_byte_in_the_study_of_the_radiograph(orthanc, rg1, results):
    radiograph = dcmread(BytesIO(rg1), stop_before_pixels=True)
    answer = stow(orthanc, [rg1, *results])
    assert answer.status_code == 200, answer.text
    for content in results:
        made = dcmread(BytesIO(content))
        assert wado(orthanc, made) == content
        assert orthanc.file(made.SOPInstanceUID) == content
    with orthanc.client() as client:
        (study,) = client.get("/dicom-web/studies").json()
        assert study["0020000D"]["Value"] == [radiograph.StudyInstanceUID]
        modalities = client.get(f"/dicom-web/studies/{radiograph.StudyInstanceUID}/series").json()
    assert {series["00080060"]["Value"][0] for series in modalities} == {radiograph.Modality, "SR", "OT", "PR"}


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


@pytest.mark.thorough
def test_an_archive_with_users_requires_credentials(start_orthanc):
    archive = start_orthanc(users={"medpatchnet": "secret"})
    assert httpx.get(f"{archive.dicomweb}/studies", trust_env=False).status_code == 401
    with archive.client() as client:
        assert client.get("/dicom-web/studies").status_code == 200


@pytest.mark.thorough
def test_an_archive_with_implicit_vr_only_has_the_same_values_also_when_sent_twice(start_orthanc):
    archive = start_orthanc(options={"AcceptedTransferSyntaxes": [uid.ImplicitVRLittleEndian]})
    node = DimseNode(
        protocol="dimse", ae_title=archive.ae_title, host="127.0.0.1", port=archive.dicom_port, timeout_s=30
    )
    sop_class = uid.SecondaryCaptureImageStorage
    content = chest_dicom(SOPClassUID=sop_class, SOPInstanceUID="1.2.3.9")
    for _ in range(2):
        receipts = asyncio.run(DimseClient(node, "MEDPATCHNET").send([Result("1.2.3", sop_class, "1.2.3.9", content)]))
        assert receipts == {"1.2.3.9": None}
    stored = dcmread(BytesIO(archive.file("1.2.3.9")))
    assert stored.file_meta.TransferSyntaxUID == uid.ImplicitVRLittleEndian
    for element in dcmread(BytesIO(content)):
        assert stored[element.tag].value == element.value
