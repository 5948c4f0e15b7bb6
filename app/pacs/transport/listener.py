"""The service as a Storage SCP (PS3.4 annex B): received objects are on disk before they are acknowledged."""

import threading
from collections.abc import Callable
from time import monotonic, sleep

from pydicom import uid
from pynetdicom import _config, evt
from pynetdicom.ae import ApplicationEntity
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import Verification  # pyright: ignore[reportAttributeAccessIssue] - made at import

from app.dicom_objects.source_image import FILM_CLASSES
from app.errors import ConfigurationError, SpoolFull, StoreUnavailable
from app.pacs.nodes import Listener
from app.pacs.transport.association_policy import AssociationPolicy, GuardedServer
from app.pacs.transport.pdu_limits import MAX_PDU
from app.pacs.transport.protocols import is_uid
from app.pacs.transport.status import CANNOT_UNDERSTAND, OUT_OF_RESOURCES, SUCCESS
from app.pacs.values import Arrival
from app.telemetry import PacsMetrics, ReceiptOutcome, get_logger

TRANSFER_SYNTAXES = (
    uid.ExplicitVRLittleEndian,
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.DeflatedExplicitVRLittleEndian,
    uid.JPEG2000Lossless,
    uid.JPEGLSLossless,
    uid.JPEGLosslessSV1,
    uid.JPEGLossless,
    uid.RLELossless,
    uid.HTJ2KLossless,
    uid.HTJ2KLosslessRPCL,
    uid.JPEG2000,
    uid.HTJ2K,
    uid.JPEGLSNearLossless,
    uid.JPEGBaseline8Bit,
    uid.JPEGExtended12Bit,
)
"""Accepted transfer syntaxes, in order of preference."""

_MAX_WAIT_S = 10.0
_POLL_S = 0.5
_DRAIN_S = 5.0


class StorageListener:
    """Answers C-ECHO, and C-STORE of radiographs. Runs on its own threads; ``start`` and ``stop`` are thread-safe."""

    def __init__(
        self,
        config: Listener,
        accept: Callable[[Arrival], None],
        on_arrival: Callable[[], None],
        is_draining: Callable[[], bool],
        metrics: PacsMetrics,
    ) -> None:
        """``accept`` stores an object or raises SpoolFull or StoreUnavailable; ``on_arrival`` is called afterwards."""
        self._config = config
        self._accept = accept
        self._on_arrival = on_arrival
        self._is_draining = is_draining
        self._metrics = metrics
        self._server: GuardedServer | None = None
        self._max_wait_s = min(_MAX_WAIT_S, config.timeout_s / 3)  # the peer waits for the response meanwhile

    @property
    def port(self) -> int:
        """The port, once started."""
        return self._server.server_address[1] if self._server else self._config.port

    def start(self) -> None:
        """Start listening. Raises ConfigurationError if the address is not available."""
        _config.LOG_HANDLER_LEVEL = "none"  # its log lines quote identifiers of patients
        config = self._config
        entity = ApplicationEntity(config.ae_title)
        entity.maximum_pdu_size = MAX_PDU
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = config.timeout_s
        entity.maximum_associations = config.max_associations
        contexts = [build_context(Verification)]
        contexts += [build_context(sop_class, list(TRANSFER_SYNTAXES)) for sop_class in sorted(FILM_CLASSES)]
        try:
            server = GuardedServer(
                entity,
                (config.host, config.port),
                config.ae_title,
                contexts,
                evt_handlers=[(evt.EVT_C_STORE, self._on_store)],
            )
        except OSError as error:
            raise ConfigurationError(
                f"cannot listen for associations on {config.host}:{config.port}: {error.strerror}"
            ) from None
        server.policy = AssociationPolicy(config, self._is_draining, self._note_association)
        server.on_too_large = lambda: self._note("too_large")
        self._server = server
        threading.Thread(target=server.serve_forever, args=(0.2,), name="associations", daemon=True).start()

    def stop(self) -> None:
        """Stop accepting associations, let the open ones finish their current request, then close them."""
        server, self._server = self._server, None
        if server is None:
            return
        server.shutdown()
        deadline = monotonic() + _DRAIN_S
        while server.active_associations and monotonic() < deadline:
            sleep(0.05)
        server.close_connections()

    def _on_store(self, event: evt.Event) -> int:
        """The status of one C-STORE: success only when the object is on disk."""
        request = event.request
        if not isinstance(request, C_STORE) or not is_uid(str(request.AffectedSOPInstanceUID)):
            return self._note("refused", CANNOT_UNDERSTAND)
        arrival = Arrival(
            source=str(event.assoc.requestor.ae_title).strip(" "),
            sop_class_uid=str(request.AffectedSOPClassUID),
            sop_instance_uid=str(request.AffectedSOPInstanceUID),
            content=event.encoded_dataset(),
        )
        deadline = monotonic() + self._max_wait_s
        while not self._is_draining():
            try:
                self._accept(arrival)
            except SpoolFull:
                if monotonic() >= deadline:
                    return self._note("spool_full", OUT_OF_RESOURCES)
                sleep(_POLL_S)  # slow the sender down first, refuse it only at the deadline
            except StoreUnavailable:
                return self._note("store_unavailable", OUT_OF_RESOURCES)
            else:
                self._on_arrival()
                return self._note("accepted", SUCCESS)
        return self._note("refused", OUT_OF_RESOURCES)

    def _note(self, outcome: ReceiptOutcome, status: int = SUCCESS) -> int:
        self._metrics.received.labels(outcome).inc()
        if outcome != "accepted":
            get_logger().warning("object_not_accepted", outcome=outcome)
        return status

    def _note_association(self, outcome: str) -> None:
        self._metrics.associations.labels(outcome).inc()
        if outcome != "accepted":
            get_logger().warning("association_refused", outcome=outcome)
