"""The C-STORE client against small SCPs that accept, refuse, abort, or know only one transfer syntax."""

import asyncio
import gc
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from time import sleep

import pytest
from pydicom import dcmread, uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pynetdicom import evt
from pynetdicom.ae import ApplicationEntity

from app.errors import NodeUnavailable
from app.pacs.nodes import DimseNode
from app.pacs.transport.dimse import DimseClient
from app.pacs.values import Result
from tests.integration.orthanc import free_ports
from tests.programs import installed
from tests.sockets import LEFT_BEHIND
from tests.waiting import eventually

pytestmark = LEFT_BEHIND

SR, SC, GSPS = (
    uid.EnhancedSRStorage,
    uid.SecondaryCaptureImageStorage,
    uid.GrayscaleSoftcopyPresentationStateStorage,
)
EXPLICIT, IMPLICIT = uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian


def result(sop_class: str, number: int) -> Result:
    """A small object with a sequence, and with a Patient ID that contradicts its character set."""
    item, dataset = Dataset(), Dataset()
    item.CodeValue = "81827009"
    dataset.SpecificCharacterSet, dataset.PatientID = "ISO_IR 192", "M__ller"
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, f"1.2.3.{number}"
    dataset.ConceptNameCodeSequence = [item]
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = EXPLICIT
    dataset.file_meta.MediaStorageSOPClassUID = sop_class
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    file = BytesIO()
    dcmwrite(file, dataset, enforce_file_format=True)
    content = file.getvalue().replace(b"M__ller", b"M\xfc\xfcller")
    return Result("1.2", sop_class, f"1.2.3.{number}", content)


@contextmanager
def scp(answer=lambda event: 0x0000, classes=(SR, SC, GSPS), syntaxes=(EXPLICIT, IMPLICIT)) -> Iterator[int]:
    """An SCP that accepts some SOP classes and transfer syntaxes, and returns the statuses of ``answer``; its port."""
    entity = ApplicationEntity("STORE")
    entity.require_called_aet = True
    for sop_class in classes:
        entity.add_supported_context(sop_class, list(syntaxes))
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, answer)])
    yield server.server_address[1]
    server.shutdown()
    gc.collect()


def send(port, *results, title="STORE", timeout_s=5.0):
    node = DimseNode(protocol="dimse", ae_title=title, host="127.0.0.1", port=port, timeout_s=timeout_s)
    return asyncio.run(DimseClient(node, "MEDPATCHNET").send(results))


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
def test_an_archive_that_knows_one_transfer_syntax_has_every_value_unchanged(syntax):
    arrived = []

    def keep(event):
        arrived.append((event.context.transfer_syntax, event.dataset))
        return 0x0000

    made = result(SR, 1)
    with scp(keep, syntaxes=[syntax]) as port:
        assert send(port, made) == {"1.2.3.1": None}
    ((used, dataset),) = arrived
    assert used == syntax
    assert dataset.get_item("PatientID").value == b"M\xfc\xfcller "
    assert dataset.ConceptNameCodeSequence == dcmread(BytesIO(made.content)).ConceptNameCodeSequence


def test_explicit_vr_is_preferred():
    used = []
    with scp(lambda event: used.append(event.context.transfer_syntax) or 0x0000, syntaxes=[IMPLICIT, EXPLICIT]) as port:
        send(port, result(SR, 1))
    assert used == [EXPLICIT]


def test_dcmtk_with_implicit_vr_only_stores_the_objects(tmp_path):
    (port,) = free_ports(1)
    command = [installed("storescp"), "--aetitle", "STORE", "--output-directory", tmp_path, "+xi", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            sent = eventually(lambda: attempt(port, result(SR, 1), result(GSPS, 2)), timeout_s=30)
        finally:
            process.kill()
    assert sent == {"1.2.3.1": None, "1.2.3.2": None}
    assert {dcmread(path).file_meta.TransferSyntaxUID for path in tmp_path.iterdir()} == {IMPLICIT}


def attempt(port, *results):
    """The receipts, or None while the SCP is starting."""
    try:
        return send(port, *results)
    except NodeUnavailable:
        sleep(0.2)
        return None


def test_a_sop_class_that_is_not_accepted_is_a_permanent_problem_of_its_objects_only():
    with scp(classes=[SC, GSPS]) as port:
        receipts = send(port, result(SR, 1), result(SC, 2), result(GSPS, 3))
    assert receipts["1.2.3.2"] is receipts["1.2.3.3"] is None
    assert (receipts["1.2.3.1"].code, receipts["1.2.3.1"].permanent) == ("node_refused", True)
    assert receipts["1.2.3.1"].detail == f"the node does not accept the SOP class {SR}"


def test_a_node_that_accepts_no_class_at_all_refuses_and_is_not_silent():
    with scp(classes=[uid.CTImageStorage]) as port:
        receipts = send(port, result(SR, 1))
    assert receipts["1.2.3.1"].permanent
    assert "does not accept the SOP class" in receipts["1.2.3.1"].detail


@pytest.mark.parametrize("status", [0x0111, 0x0001, 0x0107, 0xB000, 0xB007])
def test_duplicates_and_warnings_are_delivered(status):
    with scp(lambda event: status) as port:
        assert send(port, result(SR, 1)) == {"1.2.3.1": None}


def test_each_object_has_its_own_status():
    statuses = {"1.2.3.1": 0xA700, "1.2.3.2": 0xC000, "1.2.3.3": 0x0000}
    with scp(lambda event: statuses[event.request.AffectedSOPInstanceUID]) as port:
        receipts = send(port, result(SR, 1), result(SC, 2), result(GSPS, 3))
    assert not receipts["1.2.3.1"].permanent
    assert receipts["1.2.3.2"].permanent
    assert receipts["1.2.3.3"] is None


def test_an_object_at_which_the_node_aborts_does_not_hold_up_the_others():
    def abort_at_the_second(event):
        if event.request.AffectedSOPInstanceUID == "1.2.3.2":
            event.assoc.abort()
        return 0x0000

    with scp(abort_at_the_second) as port:
        receipts = send(port, *(result(SC, number) for number in (1, 2, 3)))
    assert receipts["1.2.3.1"] is receipts["1.2.3.3"] is None
    assert not receipts["1.2.3.2"].permanent


def test_an_object_that_cannot_be_encoded_is_a_permanent_problem_of_its_own():
    broken = Result("1.2", SR, "1.2.3.9", b"DOE^JANE, not a DICOM file")
    with scp() as port:
        receipts = send(port, broken, result(SC, 2))
    assert receipts["1.2.3.2"] is None
    assert receipts["1.2.3.9"].permanent
    assert "DOE" not in receipts["1.2.3.9"].detail


def test_a_rejected_association_names_the_reason():
    with scp() as port, pytest.raises(NodeUnavailable, match="called ae title not recognised"):
        send(port, result(SR, 1), title="OTHER")


def test_an_unreachable_node_does_not_answer():
    with pytest.raises(NodeUnavailable, match="does not answer"):
        send(free_ports(1)[0], result(SR, 1))
