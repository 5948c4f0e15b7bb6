"""Limits on the data of one connection; pynetdicom has none.

Without them pynetdicom reads a PDU of four gigabytes, or an object of any size, into memory, and a peer that sends
single bytes slowly can hold its connection forever.
"""

import socket
from collections.abc import Callable
from time import monotonic
from typing import Literal

Breach = Literal["too_large", "malformed"]

MAX_PDU = 1 << 20
"""Maximum PDU length that is offered to peers, in bytes; PS3.8 annex D.1."""
_HEADER = 6
_P_DATA = 0x04
_FRAMING = 4096  # command set and fragment headers of the largest object, beside 1/64 of its size
_CHUNK = 1 << 18
# A-ABORT by the service provider, invalid PDU parameter: PS3.8 section 9.3.8.
_ABORT = bytes((0x07, 0, 0, 0, 0, 4, 0, 0, 2, 6))


class PduLimiter:
    """Reads from one connection within limits of size and time. ``recv`` replaces that of pynetdicom."""

    def __init__(
        self, connection: socket.socket, max_object_bytes: int, timeout_s: float, on_breach: Callable[[Breach], None]
    ) -> None:
        """A PDU must end within ``timeout_s`` of its start; ``on_breach`` receives the reason for closing."""
        self._connection = connection
        self._max_object_bytes = max_object_bytes + max_object_bytes // 64 + _FRAMING
        self._timeout_s = timeout_s
        self._on_breach = on_breach
        self._header: bytearray | None = None
        self._object_bytes = 0

    def recv(self, nr_bytes: int) -> bytearray:
        """A header of six bytes, or the rest of its PDU. Raises OSError if a limit is exceeded."""
        if self._header is None:
            received = self._read(nr_bytes)
            self._header = received if len(received) == _HEADER else None
            return received
        pdu_type, self._header = self._header[0], None
        self._require(nr_bytes <= MAX_PDU, "malformed")
        if pdu_type == _P_DATA:
            self._object_bytes += nr_bytes
            self._require(self._object_bytes <= self._max_object_bytes, "too_large")
        body = self._read(nr_bytes)
        if pdu_type == _P_DATA and _ends_an_object(body):
            self._object_bytes = 0
        return body

    def _read(self, count: int) -> bytearray:
        received = bytearray()
        deadline = monotonic() + self._timeout_s
        while len(received) < count:
            self._connection.settimeout(max(0.001, deadline - monotonic()))
            chunk = self._connection.recv(min(_CHUNK, count - len(received)))
            if not chunk:
                break
            received += chunk
        self._connection.settimeout(self._timeout_s)
        return received

    def _require(self, holds: bool, breach: Breach) -> None:
        if not holds:
            self._on_breach(breach)
            self._connection.sendall(_ABORT)
            raise ConnectionAbortedError("the peer exceeded a limit")


def _ends_an_object(body: bytearray) -> bool:
    """Whether a P-DATA PDU contains the last fragment of a data set: PS3.8 section 9.3.5.1 and annex E.2."""
    place = 0
    while place + _HEADER <= len(body):
        control = body[place + 5]
        if control & 0b11 == 0b10:  # last fragment, of a data set
            return True
        place += 4 + int.from_bytes(body[place : place + 4])
    return False
