"""Decides which associations are accepted, and how many, before any object is read."""

import socket
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from socketserver import BaseServer
from typing import cast

from pynetdicom import evt
from pynetdicom.acse import ACSE
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import A_ASSOCIATE
from pynetdicom.transport import AssociationSocket, RequestHandler, ThreadedAssociationServer

from app.pacs.nodes import Listener
from app.pacs.transport.pdu_limits import Breach, PduLimiter
from app.telemetry import AssociationOutcome

# Result, source, reason: PS3.8 table 9-21.
_REJECTIONS: dict[AssociationOutcome, tuple[int, int, int]] = {
    "unknown_called": (1, 1, 7),
    "unknown_calling": (1, 1, 3),
    "draining": (2, 3, 1),
    "too_many": (2, 3, 2),
}
_HALF_OPEN_ALLOWED = 8


class AssociationPolicy:
    """The acceptance policy of one listener. Thread-safe."""

    def __init__(
        self, listener: Listener, is_draining: Callable[[], bool], on_outcome: Callable[[AssociationOutcome], None]
    ) -> None:
        self._listener = listener
        self._is_draining = is_draining
        self._on_outcome = on_outcome

    @property
    def max_connections(self) -> int:
        """Maximum simultaneous connections, including those that have not requested an association yet."""
        return self._listener.max_associations + _HALF_OPEN_ALLOWED

    def judge(self, request: A_ASSOCIATE, address: str, established: int) -> AssociationOutcome:
        """The decision on an association request, given the number of other ``established`` associations."""
        outcome: AssociationOutcome = "accepted"
        if (request.called_ae_title or "").strip(" ") != self._listener.ae_title:
            outcome = "unknown_called"
        elif not self._listener.admits(request.calling_ae_title or "", address):
            outcome = "unknown_calling"
        elif self._is_draining():
            outcome = "draining"
        elif established >= self._listener.max_associations:
            outcome = "too_many"
        self.note(outcome)
        return outcome

    def note(self, outcome: AssociationOutcome) -> None:
        """Count the outcome of a connection."""
        self._on_outcome(outcome)

    def limiter(self, connection: socket.socket, on_too_large: Callable[[], object]) -> PduLimiter:
        """The PDU limiter of one connection."""

        def on_breach(breach: Breach) -> None:
            if breach == "too_large":
                on_too_large()
            else:
                self.note("malformed")

        return PduLimiter(connection, self._listener.max_instance_bytes, self._listener.timeout_s, on_breach)


class GuardedServer(ThreadedAssociationServer):
    """An association server with a limited number of connections; further ones are closed at once."""

    policy: AssociationPolicy
    on_too_large: Callable[[], object]
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, *arguments: object, **options: object) -> None:
        self._connections: set[socket.socket] = set()
        self._associations: dict[Association, socket.socket] = {}
        self._changing = threading.Lock()
        super().__init__(*arguments, request_handler=_GuardedHandler, **options)  # pyright: ignore[reportArgumentType]

    def verify_request(self, request: object, client_address: object) -> bool:
        """Whether another connection is allowed."""
        del client_address
        self._close_ended()
        if len(self._connections) >= self.policy.max_connections:
            self.policy.note("too_many")
            return False
        self._connections.add(cast(socket.socket, request))
        return True

    def track(self, association: Association, connection: socket.socket) -> None:
        """Close the connection of an association when the association ends."""
        with self._changing:
            self._associations[association] = connection

    def service_actions(self) -> None:
        """Called by the loop of the server between connections."""
        self._close_ended()

    def _close_ended(self) -> None:
        """Close connections of ended associations: pynetdicom leaves them open if the peer disconnected first."""
        with self._changing:
            for association in [each for each in self._associations if not each.is_alive()]:
                connection = self._associations.pop(association)
                connection.close()
                self._connections.discard(connection)

    def shutdown(self) -> None:
        """Stop accepting connections; existing ones continue."""
        BaseServer.shutdown(self)
        self.server_close()

    def close_connections(self) -> None:
        """Close all remaining connections."""
        for connection in self._connections:
            with suppress(OSError):  # already closed
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def shutdown_request(self, request: socket.socket | tuple[bytes, socket.socket]) -> None:
        """Close a connection that was refused, or whose association could not start."""
        with self._changing:
            self._connections.discard(cast(socket.socket, request))
        super().shutdown_request(request)

    def handle_error(self, request: object, client_address: object) -> None:
        """Suppress the stack trace that the base class prints; the connection is closed."""


class _GuardedHandler(RequestHandler):
    """Installs the PDU limiter and the policy in an association before it starts."""

    def handle(self) -> None:
        """Start an association. Tracking begins when its thread runs: before that it would look ended."""
        super().handle()
        cast(GuardedServer, self.server).track(self._association, cast(socket.socket, self.request))

    def _create_association(self) -> Association:
        server = cast(GuardedServer, self.server)
        association = super()._create_association()
        limiter = server.policy.limiter(cast(socket.socket, self.request), server.on_too_large)
        cast(AssociationSocket, association.dul.socket).recv = limiter.recv
        association.acse = _GuardedNegotiation(association, server)
        self._association = association
        return association


class _GuardedNegotiation(ACSE):
    """Applies the policy before the negotiation."""

    _lock = threading.Lock()

    def __init__(self, association: Association, server: GuardedServer) -> None:
        super().__init__(association)
        self._server = server

    def negotiate_association(self) -> None:
        """Negotiate, or reject."""
        request = cast(A_ASSOCIATE, self.requestor.primitive)
        with self._lock:  # two requests must not both take the last place
            established = sum(other.is_established for other in _others(self.assoc, self._server.active_associations))
            outcome = self._server.policy.judge(request, self.requestor.address or "", established)
            if outcome == "accepted":
                super().negotiate_association()
                return
        self.send_reject(*_REJECTIONS[outcome])
        evt.trigger(self.assoc, evt.EVT_REJECTED, {})
        self.assoc.kill()


def _others(own: Association, all_: Iterable[Association]) -> Iterable[Association]:
    return (association for association in all_ if association is not own)
