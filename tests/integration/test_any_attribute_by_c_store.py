"""A radiograph with any value in any attribute, sent by C-STORE: its results are delivered, or it is refused at once.

Short here; the long run: ``uv run pytest -m slow -n 0 -s tests/integration/test_any_attribute_by_c_store.py``.
"""

import gc
import sqlite3
from collections import Counter
from contextlib import closing, contextmanager
from io import BytesIO
from itertools import count

import pytest
import yaml
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pydicom import uid
from pydicom.datadict import dictionary_description, dictionary_keyword
from pydicom.tag import Tag
from pynetdicom import evt
from pynetdicom.ae import ApplicationEntity
from pynetdicom.dimse_primitives import C_STORE

from app.runtime.application import create_app
from app.settings import Settings
from tests.artifacts import records_with_points, save_small_artifact
from tests.integration.orthanc import free_ports
from tests.malformed_radiographs import ATTRIBUTES, CONSEQUENTIAL, DECISIVE, Changes, changes_of, dataset_with
from tests.sockets import LEFT_BEHIND
from tests.waiting import eventually

pytestmark = [pytest.mark.integration, *LEFT_BEHIND]

FEW, MANY = 12, 400
OPTIONS = {"phases": (Phase.generate,), "suppress_health_check": list(HealthCheck), "database": None}
ANY = st.one_of(changes_of(sorted(ATTRIBUTES)), changes_of(CONSEQUENTIAL), changes_of(DECISIVE))
DX, SYNTAX = uid.DigitalXRayImageStorageForPresentation, uid.ExplicitVRLittleEndian
INSTANCE = int(Tag("SOPInstanceUID"))
RESULTS = (uid.EnhancedSRStorage, uid.SecondaryCaptureImageStorage, uid.GrayscaleSoftcopyPresentationStateStorage)
ENDED = ("delivered", "refused", "ignored", "dead")


@contextmanager
def archive():
    """An archive that accepts every result: its port, and the SOP classes that it received."""
    received: list[str] = []

    def keep(event):
        received.append(str(event.request.AffectedSOPClassUID))
        return 0x0000

    entity = ApplicationEntity("STORE")
    for sop_class in RESULTS:
        entity.add_supported_context(sop_class)
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, keep)])
    yield server.server_address[1], received
    server.shutdown()
    gc.collect()


class Station:
    """A service with a listener, an archive behind it, and a modality in front of it."""

    def __init__(self, port: int, database: str, received: list[str]) -> None:
        self.received, self._database, self._numbers = received, database, count(1)
        entity = ApplicationEntity("MODALITY")
        entity.add_requested_context(DX, SYNTAX)
        self._association = entity.associate("127.0.0.1", port, ae_title="MEDPATCHNET")
        assert self._association.is_established

    def close(self) -> None:
        self._association.release()

    def outcome(self, changes: Changes) -> tuple[str, int, str]:
        """Send a radiograph; its last state, the failed attempts, and the detail of its problem."""
        announced = f"1.2.3.{next(self._numbers)}"
        unique = {INSTANCE: ("UI", announced.encode())} if INSTANCE not in changes else {}
        assert self._store(dataset_with(changes | unique), announced) == 0
        return eventually(lambda: self._ended(announced), timeout_s=120, every_s=0.02)

    def _ended(self, announced: str) -> tuple[str, int, str] | None:
        query = "SELECT state, failures, detail FROM instances WHERE sop_instance_uid = ?"
        with closing(sqlite3.connect(self._database, timeout=30)) as connection:
            state, failures, detail = connection.execute(query, (announced,)).fetchone()
        return (state, failures, detail or "") if state in ENDED or failures else None

    def _store(self, encoded: bytes, announced: str) -> int:
        """C-STORE of bytes as they are, which pynetdicom would decode."""
        association, request = self._association, C_STORE()
        request.MessageID, request.Priority, request.DataSet = 1, 2, BytesIO(encoded)
        request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = DX, announced
        (context,) = association.accepted_contexts
        association._reactor_checkpoint.clear()
        eventually(lambda: association._is_paused, every_s=0.001)
        association.dimse.send_msg(request, context.context_id)
        _, response = association.dimse.get_msg(block=True)
        association._reactor_checkpoint.set()
        return response.Status


@pytest.fixture(scope="module")
def station(tmp_path_factory):
    folder, (port,) = tmp_path_factory.mktemp("station"), free_ports(1)
    points = {"Edema": ("validated", {"balanced": 0.001}), "Pneumonia": ("validated", {"balanced": 0.999})}
    save_small_artifact(folder, "one", findings=records_with_points(points))
    with archive() as (archive_port, received):
        config = {
            "listener": {"port": port, "peers": [{"ae_title": "MODALITY"}], "timeout_s": 120},
            "nodes": {"store": {"protocol": "dimse", "ae_title": "STORE", "host": "127.0.0.1", "port": archive_port}},
            "routes": [{"name": "all", "outputs": ["sr", "sc", "gsps"], "target": "store"}],
        }
        (folder / "pacs.yaml").write_text(yaml.safe_dump(config))
        configured = Settings(
            models_dir=folder, model="one", device="cpu", decode_workers=1, pacs_file=folder / "pacs.yaml",
            database_url=f"sqlite:///{folder}/pacs.sqlite", spool_reserve_bytes=0,
        )  # fmt: skip
        with TestClient(create_app(configured)):
            station = Station(port, f"{folder}/pacs.sqlite", received)
            yield station
            station.close()


def check(station: Station, changes: Changes) -> str:
    """Assert that a radiograph ends at its first attempt, with all results or a reason that names the attribute."""
    before = len(station.received)
    state, failures, detail = station.outcome(changes)
    assert failures == 0, detail
    if state == "delivered":
        assert sorted(station.received[before:]) == sorted(RESULTS)
    else:
        names = [name for tag in changes for name in (dictionary_description(tag), dictionary_keyword(tag))]
        assert any(name.lower() in detail.lower() for name in names), (state, detail, names)
    return state


@pytest.mark.thorough
def test_any_value_of_any_attribute_is_delivered_or_refused_at_once(station):
    run(station, FEW)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_many_values_of_any_attribute_are_delivered_or_refused_at_once(station):
    print(dict(run(station, MANY)))


def run(station: Station, examples: int) -> Counter[str]:
    outcomes: Counter[str] = Counter()

    @given(ANY)
    @settings(max_examples=examples, **OPTIONS)
    def each(changes):
        outcomes[check(station, changes)] += 1

    each()
    return outcomes
