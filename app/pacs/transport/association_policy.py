"""Who may open an association, and how many: decided before anything of an object is read."""

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
    """Judges the associations that are asked for at one listener. Safe from any thread."""

    def __init__(
        self, listener: Listener, is_draining: Callable[[], bool], on_outcome: Callable[[AssociationOutcome], None]
    ) -> None:
        self._listener = listener
        self._is_draining = is_draining
        self._on_outcome = on_outcome

    @property
    def most_connections(self) -> int:
        """Connections held at once, those included that have not asked for anything yet."""
        return self._listener.max_associations + _HALF_OPEN_ALLOWED

    def judge(self, request: A_ASSOCIATE, address: str, established: int) -> AssociationOutcome:
        """Whether an association may be; ``established`` others are."""
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
        """Count what became of a connection."""
        self._on_outcome(outcome)

    def guard(self, connection: socket.socket, on_too_large: Callable[[], object]) -> PduLimiter:
        """The bounds of one connection."""

        def on_breach(breach: Breach) -> None:
            if breach == "too_large":
                on_too_large()
            else:
                self.note("malformed")

        return PduLimiter(connection, self._listener.max_instance_bytes, self._listener.timeout_s, on_breach)


class GuardedServer(ThreadedAssociationServer):
    """A server that holds a bounded number of connections; one more is closed at once."""

    doorman: AssociationPolicy
    on_too_large: Callable[[], object]
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, *arguments: object, **options: object) -> None:
        self._connections: set[socket.socket] = set()
        self._associations: dict[Association, socket.socket] = {}
        self._changing = threading.Lock()
        super().__init__(*arguments, request_handler=_GuardedHandler, **options)  # pyright: ignore[reportArgumentType]

    def verify_request(self, request: object, client_address: object) -> bool:
        """Whether there is room for a connection."""
        del client_address
        self._let_go()
        if len(self._connections) >= self.doorman.most_connections:
            self.doorman.note("too_many")
            return False
        self._connections.add(cast(socket.socket, request))
        return True

    def follow(self, association: Association, connection: socket.socket) -> None:
        """An association runs on a connection, which is closed once that ends."""
        with self._changing:
            self._associations[association] = connection

    def service_actions(self) -> None:
        """What the server's loop does between connections."""
        self._let_go()

    def _let_go(self) -> None:
        """Close what belongs to an association that ended: pynetdicom leaves it open where the peer went first."""
        with self._changing:
            for association in [each for each in self._associations if not each.is_alive()]:
                connection = self._associations.pop(association)
                connection.close()
                self._connections.discard(connection)

    def shutdown(self) -> None:
        """Take no more connections; those there are go on."""
        BaseServer.shutdown(self)
        self.server_close()

    def close_connections(self) -> None:
        """End what is still open, however far it is."""
        for connection in self._connections:
            with suppress(OSError):  # closed meanwhile
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def shutdown_request(self, request: socket.socket | tuple[bytes, socket.socket]) -> None:
        """Close a connection that was not let in, or whose association could not begin."""
        with self._changing:
            self._connections.discard(cast(socket.socket, request))
        super().shutdown_request(request)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: the base class prints a stack trace. The connection is closed, and the peer's problem."""


class _GuardedHandler(RequestHandler):
    """Puts the guard and the doorman into an association, before it begins."""

    def handle(self) -> None:
        """Begin an association. It is followed only once its thread runs: before, it would look like one that ended."""
        super().handle()
        cast(GuardedServer, self.server).follow(self._association, cast(socket.socket, self.request))

    def _create_association(self) -> Association:
        server = cast(GuardedServer, self.server)
        association = super()._create_association()
        guard = server.doorman.guard(cast(socket.socket, self.request), server.on_too_large)
        cast(AssociationSocket, association.dul.socket).recv = guard.recv
        association.acse = _GuardedNegotiation(association, server)
        self._association = association
        return association


class _GuardedNegotiation(ACSE):
    """Asks the doorman before negotiating."""

    _begun = threading.Lock()

    def __init__(self, association: Association, server: GuardedServer) -> None:
        super().__init__(association)
        self._server = server

    def negotiate_association(self) -> None:
        """Negotiate, or reject."""
        request = cast(A_ASSOCIATE, self.requestor.primitive)
        with self._begun:  # so that two cannot take the last place
            others = sum(other.is_established for other in _others(self.assoc, self._server.active_associations))
            outcome = self._server.doorman.judge(request, self.requestor.address or "", others)
            if outcome == "accepted":
                super().negotiate_association()
                return
        self.send_reject(*_REJECTIONS[outcome])
        evt.trigger(self.assoc, evt.EVT_REJECTED, {})
        self.assoc.kill()


def _others(own: Association, all_: Iterable[Association]) -> Iterable[Association]:
    return (association for association in all_ if association is not own)
