"""The service as a Storage SCP (PS3.4 annex B): received objects are on disk before they are acknowledged."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic, perf_counter, sleep

from pydicom import uid
from pydicom.config import IGNORE, settings
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
from app.telemetry import PacsMetrics, ReceiptOutcome, get_logger, milliseconds_since

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


@dataclass(frozen=True)
class _Receipt:
    """The outcome of one C-STORE, its status, and the id of the stored object."""

    outcome: ReceiptOutcome
    status: int
    instance: str | None = None


class StorageListener:
    """Answers C-ECHO, and C-STORE of radiographs. Runs on its own threads; ``start`` and ``stop`` are thread-safe."""

    def __init__(
        self,
        config: Listener,
        accept: Callable[[Arrival], str],
        on_arrival: Callable[[], None],
        is_draining: Callable[[], bool],
        metrics: PacsMetrics,
    ) -> None:
        """``accept`` stores an object and returns its id, or raises SpoolFull or StoreUnavailable.

        ``on_arrival`` is called afterwards.
        """
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
        settings.reading_validation_mode = IGNORE  # as do the warnings of pydicom, for example about leading zeros
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
        server.on_too_large = self._note_too_large
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
        begin, node = perf_counter(), str(event.assoc.requestor.ae_title).strip(" ")
        receipt = self._receive(event, node)
        self._metrics.received.labels(receipt.outcome).inc()
        is_accepted = receipt.outcome == "accepted"
        log = get_logger().info if is_accepted else get_logger().warning
        log(
            "instance_accepted" if is_accepted else "instance_not_accepted",
            instance=receipt.instance,
            node=node,
            outcome=receipt.outcome,
            duration_ms=milliseconds_since(begin),
        )
        return receipt.status

    def _receive(self, event: evt.Event, node: str) -> _Receipt:
        request = event.request
        if not isinstance(request, C_STORE) or not is_uid(str(request.AffectedSOPInstanceUID)):
            return _Receipt("refused", CANNOT_UNDERSTAND)
        arrival = Arrival(
            source=node,
            sop_class_uid=str(request.AffectedSOPClassUID),
            sop_instance_uid=str(request.AffectedSOPInstanceUID),
            content=event.encoded_dataset(),
        )
        deadline = monotonic() + self._max_wait_s
        while not self._is_draining():
            try:
                identity = self._accept(arrival)
            except SpoolFull:
                if monotonic() >= deadline:
                    return _Receipt("spool_full", OUT_OF_RESOURCES)
                sleep(_POLL_S)  # slow the sender down first, refuse it only at the deadline
            except StoreUnavailable:
                return _Receipt("store_unavailable", OUT_OF_RESOURCES)
            else:
                self._on_arrival()
                return _Receipt("accepted", SUCCESS, identity)
        return _Receipt("refused", OUT_OF_RESOURCES)

    def _note_too_large(self) -> None:
        self._metrics.received.labels("too_large").inc()
        get_logger().warning("instance_not_accepted", outcome="too_large")

    def _note_association(self, outcome: str) -> None:
        self._metrics.associations.labels(outcome).inc()
        if outcome != "accepted":
            get_logger().warning("association_refused", outcome=outcome)
