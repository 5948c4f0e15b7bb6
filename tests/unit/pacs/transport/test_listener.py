"""The listener against wrong, hostile and too many peers, over real sockets."""

import gc
import logging
import socket
import struct
import subprocess
import sys
import threading
from contextlib import suppress
from io import BytesIO
from time import monotonic, sleep

import pytest
from pydicom import dcmread, uid
from pynetdicom.ae import ApplicationEntity
from structlog.testing import capture_logs

from app.errors import SpoolFull, StoreUnavailable
from app.imaging.dicom.file import silence
from app.pacs.nodes import Listener
from app.pacs.transport.listener import TRANSFER_SYNTAXES, StorageListener
from app.telemetry import Metrics, PacsMetrics
from tests.factories import SENTINEL, chest_dicom
from tests.programs import installed
from tests.sockets import LEFT_BEHIND
from tests.waiting import eventually

pytestmark = LEFT_BEHIND

CALLED, CALLING = "MEDPATCHNET", "MODALITY"
DX = uid.DigitalXRayImageStorageForPresentation
LIMIT = 300_000


class Scp:
    """A listener and the objects that it accepted; raises ``error`` instead while that is set."""

    def __init__(self, **options):
        self.accepted, self.error, self.draining = [], None, False
        self.metrics = Metrics()
        peers = [{"ae_title": CALLING}, {"ae_title": "FARAWAY", "address": "192.0.2.0/24"}]
        options = {"ae_title": CALLED, "port": 0, "peers": peers, "timeout_s": 2.0, "max_associations": 3} | options
        config = Listener.model_validate({"max_instance_bytes": LIMIT, **options})
        self.listener = StorageListener(
            config, self.accept, lambda: None, lambda: self.draining, PacsMetrics(self.metrics)
        )
        self.listener.start()
        self.port = self.listener.port

    def accept(self, arrival):
        if self.error is not None:
            raise self.error
        self.accepted.append(arrival)

    def count(self, metric, outcome) -> float:
        value = self.metrics.registry.get_sample_value(f"medpatchnet_pacs_{metric}_total", {"outcome": outcome})
        assert value is not None
        return value

    def associate(self, called=CALLED, calling=CALLING, syntax=uid.ExplicitVRLittleEndian):
        entity = ApplicationEntity(calling)
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 10
        entity.add_requested_context(DX, syntax)
        entity.add_requested_context("1.2.840.10008.1.1")
        return entity.associate("127.0.0.1", self.port, ae_title=called)

    def send(self, content=None, **options) -> int | None:
        association = self.associate(**options)
        assert association.is_established
        status = association.send_c_store(dcmread(BytesIO(content or chest_dicom()))).get("Status")
        if association.is_established:
            association.release()
        return status

    def answers(self) -> bool:
        association = self.associate()
        if not association.is_established:
            return False
        status = association.send_c_echo().get("Status")
        association.release()
        return status == 0


@pytest.fixture
def scp(caplog):
    caplog.set_level(logging.DEBUG)
    scp = Scp()
    yield scp
    scp.listener.stop()
    assert threading.active_count() < 30
    assert SENTINEL not in caplog.text
    gc.collect()  # pynetdicom, as the client, leaves its sockets to the collector


def connected(port) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=300)


def is_closed(connection) -> bool:
    """Whether the peer closed the connection; earlier data is skipped."""
    connection.settimeout(0.05)
    try:
        while connection.recv(65536):
            pass
    except TimeoutError:
        return False
    except OSError:
        pass
    return True


def test_echo_and_store_with_dcmtk(scp, tmp_path):
    (tmp_path / "image.dcm").write_bytes(chest_dicom())
    titles = ["-aet", CALLING, "-aec", CALLED, "127.0.0.1", str(scp.port)]
    assert subprocess.run([installed("echoscu"), *titles], check=False).returncode == 0
    assert subprocess.run([installed("storescu"), *titles, str(tmp_path / "image.dcm")], check=False).returncode == 0
    (arrival,) = scp.accepted
    assert (arrival.source, arrival.sop_class_uid) == (CALLING, DX)
    dataset = dcmread(BytesIO(arrival.content))
    assert dataset.SOPInstanceUID == arrival.sop_instance_uid
    assert dataset.PixelData == dcmread(BytesIO(chest_dicom())).PixelData
    assert scp.count("received", "accepted") == 1


def test_every_object_is_logged_with_its_sender_and_outcome(scp):
    with capture_logs() as logs:
        scp.send()
        scp.error = StoreUnavailable("the disk is full")
        scp.send()
    received = [(line["event"], line["node"], line["outcome"]) for line in logs if "node" in line]
    assert received == [
        ("instance_accepted", CALLING, "accepted"),
        ("instance_not_accepted", CALLING, "store_unavailable"),
    ]


@pytest.mark.parametrize("syntax", TRANSFER_SYNTAXES)
def test_every_supported_transfer_syntax_is_accepted(scp, syntax):
    association = scp.associate(syntax=syntax)
    assert {str(context.abstract_syntax): context.transfer_syntax for context in association.accepted_contexts}[DX] == [
        syntax
    ]
    association.release()


def test_only_radiographs_are_negotiated(scp):
    entity = ApplicationEntity(CALLING)
    entity.add_requested_context(uid.CTImageStorage)
    association = entity.associate("127.0.0.1", scp.port, ae_title=CALLED)
    assert association.accepted_contexts == []
    association.release()


@pytest.mark.parametrize(
    ("called", "calling", "outcome", "reason"),
    [("OTHER", CALLING, "unknown_called", 7), (CALLED, "STRANGER", "unknown_calling", 3),
     (CALLED, "FARAWAY", "unknown_calling", 3)],
)  # fmt: skip
def test_wrong_titles_and_addresses_are_rejected(scp, called, calling, outcome, reason):
    association = scp.associate(called, calling)
    assert association.is_rejected
    assert association.acceptor.primitive.diagnostic == reason
    assert scp.count("associations", outcome) == 1
    assert scp.answers()


def test_more_associations_than_allowed_are_rejected_until_one_ends(scp):
    established_ones = [scp.associate() for _ in range(3)]
    assert all(association.is_established for association in established_ones)
    assert scp.associate().is_rejected
    established_ones.pop().release()
    eventually(scp.answers)
    for association in established_ones:
        association.release()


def test_a_starting_association_is_not_closed_as_an_ended_one(scp):
    server = scp.listener._server
    finished = threading.Event()

    def run_service_actions_continuously():
        while not finished.is_set():
            server.service_actions()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    runner = threading.Thread(target=run_service_actions_continuously)
    runner.start()
    try:
        assert all(scp.answers() for _ in range(40))
    finally:
        finished.set()
        runner.join()
        sys.setswitchinterval(interval)


def test_a_hundred_half_open_connections_do_not_block_others(scp):
    half_open = [connected(scp.port) for _ in range(100)]
    eventually(lambda: scp.count("associations", "too_many") >= 80)
    eventually(scp.answers)
    eventually(lambda: all(is_closed(connection) for connection in half_open))
    for connection in half_open:
        connection.close()


def test_a_full_spool_delays_and_then_refuses(scp):
    scp.error = SpoolFull("full")
    begin = monotonic()
    assert scp.send() == 0xA700
    assert monotonic() - begin >= 0.6
    scp.error = None
    assert scp.send() == 0
    assert scp.count("received", "spool_full") == 1


def test_an_object_is_accepted_if_room_appears_in_time(scp):
    scp.error = SpoolFull("full")
    threading.Timer(0.3, lambda: setattr(scp, "error", None)).start()
    assert scp.send() == 0


def test_an_unavailable_database_refuses_at_once(scp):
    scp.error = StoreUnavailable("read only")
    assert scp.send() == 0xA700
    assert scp.accepted == []


def test_a_draining_service_accepts_nothing(scp):
    association = scp.associate()
    scp.draining = True
    assert association.send_c_store(dcmread(BytesIO(chest_dicom()))).get("Status") == 0xA700
    association.release()
    assert scp.associate().is_rejected
    assert scp.count("associations", "draining") == 1


def test_an_object_over_the_limit_is_aborted_while_it_arrives(scp):
    import numpy as np

    association = scp.associate()
    status = association.send_c_store(dcmread(BytesIO(chest_dicom(np.zeros((800, 800), np.uint16) + 7))))
    assert status.get("Status") is None
    eventually(lambda: association.is_aborted or not association.is_established)
    assert scp.count("received", "too_large") == 1
    assert scp.accepted == []
    assert scp.send() == 0


def test_an_endless_object_does_not_fill_the_memory(scp):
    """An endless data set, as fragments of a C-STORE that never ends."""
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    connection = established(scp.port)
    fragment = pdv(b"\0" * 16_000, command=False, last=False)
    sent = 0
    while sent < 2 << 30:
        try:
            connection.sendall(fragment)
        except OSError:
            break
        sent += len(fragment)
    assert sent < 50_000_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB
    assert scp.count("received", "too_large") == 1
    assert scp.answers()


MALFORMED = {
    "no dicom": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "four gigabytes claimed": struct.pack(">BBL", 0x01, 0, 0xFFFFFFFF) + b"\0" * 1000,
    "empty request": struct.pack(">BBL", 0x01, 0, 0),
    "data first": struct.pack(">BBL", 0x04, 0, 6) + struct.pack(">LBB", 2, 1, 3),
    "noise": bytes(range(1, 256)) * 20,
    "half a request": struct.pack(">BBL", 0x01, 0, 200) + b"\0" * 20,
    "items that lie": struct.pack(">BBL", 0x01, 0, 76)
    + b"\0\1\0\0"
    + b"A" * 32
    + b"\0" * 32
    + b"\x10\0\xff\xff\0\0\0\0",
}


@pytest.mark.parametrize("sent", MALFORMED.values(), ids=list(MALFORMED))
def test_a_malformed_request_closes_only_its_connection(scp, sent):
    connection = connected(scp.port)
    connection.sendall(sent)
    assert scp.answers()
    eventually(lambda: is_closed(connection))
    connection.close()
    assert scp.answers()


def test_a_slow_peer_is_disconnected(scp):
    connection = connected(scp.port)
    connection.sendall(struct.pack(">BBL", 0x01, 0, 200))
    for _ in range(100):  # half of what the request still needs
        if is_closed(connection):
            break
        with suppress(OSError):
            connection.sendall(b"\0")
        sleep(0.2)
    assert is_closed(connection)
    connection.close()


def test_stopping_closes_associations_and_frees_the_port():
    scp = Scp()
    association = scp.associate()
    assert association.is_established
    scp.listener.stop()
    with pytest.raises(ConnectionRefusedError):
        connected(scp.port)
    association.abort()


def established(port) -> socket.socket:
    """A connection with a manually negotiated association."""
    connection = connected(port)

    def item(kind, body):
        return struct.pack(">BBH", kind, 0, len(body)) + body

    context = bytes((1, 0, 0, 0)) + item(0x30, DX.encode()) + item(0x40, uid.ExplicitVRLittleEndian.encode())
    user = item(0x50, item(0x51, struct.pack(">L", 16384)) + item(0x52, b"1.2.3"))
    body = struct.pack(">HH", 1, 0) + CALLED.ljust(16).encode() + CALLING.ljust(16).encode() + b"\0" * 32
    body += item(0x10, b"1.2.840.10008.3.1.1.1") + item(0x20, context) + user
    connection.sendall(struct.pack(">BBL", 0x01, 0, len(body)) + body)
    assert connection.recv(1) == b"\x02"
    sleep(0.2)
    connection.recv(65536)
    return connection


def pdv(content, *, command, last) -> bytes:
    control = (1 if command else 0) | (2 if last else 0)
    value = struct.pack(">LBB", len(content) + 2, 1, control) + content
    return struct.pack(">BBL", 0x04, 0, len(value)) + value


def test_leading_zeros_of_a_uid_are_kept_and_not_logged(scp, tmp_path, caplog):
    with silence():
        radiograph = chest_dicom(SOPInstanceUID="1.2.03.004")
    (tmp_path / "image.dcm").write_bytes(radiograph)
    command = [installed("storescu"), "-aet", CALLING, "-aec", CALLED, "127.0.0.1", str(scp.port)]
    assert subprocess.run([*command, str(tmp_path / "image.dcm")], check=False).returncode == 0
    (arrival,) = scp.accepted
    assert arrival.sop_instance_uid == "1.2.03.004"
    assert not [record for record in caplog.records if record.name.startswith("pydicom")]
