"""The protocol between decode pool and decode worker: length-prefixed messages over a socket, pixels as raw bytes.

Answers are JSON, not pickle, so that a worker compromised by a hostile file cannot run code in the service.
"""

import json
import socket
import struct
from dataclasses import asdict, replace
from time import monotonic
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app import errors
from app.errors import DecoderCrashed, ImageError
from app.imaging.radiograph import DecodeLimits, ImageFacts, ImageWarning, Radiograph

_LENGTH = struct.Struct("!Q")
_LARGEST_HEADER = 64 * 1024
_ERRORS: dict[str, type[ImageError]] = {
    kind.code: kind
    for kind in (
        errors.ImageTooLarge,
        errors.UnreadableImage,
        errors.NoPixels,
        errors.NotAChestRadiograph,
        errors.DecoderCrashed,
    )
}


class Channel:
    """One end of a connection. Deadlines are on the ``time.monotonic`` clock; a missed one raises TimeoutError."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection

    def send(self, message: bytes | memoryview, deadline: float | None = None) -> None:
        """Send one message. Raises OSError where the peer has closed the connection."""
        self._limit(deadline)
        self._socket.sendall(_LENGTH.pack(len(message)))
        self._limit(deadline)
        self._socket.sendall(message)

    def receive(self, largest: int, deadline: float | None = None) -> bytes:
        """Receive a message of at most ``largest`` bytes. Raises EOFError where the peer has closed the connection."""
        message = bytearray(self._receive_length(largest, deadline))
        self._fill(memoryview(message), deadline)
        return bytes(message)

    def receive_into(self, buffer: memoryview, deadline: float | None = None) -> None:
        """Receive one message of exactly the length of ``buffer``. Raises EOFError for another length or at the end."""
        if self._receive_length(len(buffer), deadline) != len(buffer):
            raise EOFError
        self._fill(buffer, deadline)

    def close(self) -> None:
        """Close the connection: the peer reads an end of file."""
        self._socket.close()

    def _receive_length(self, largest: int, deadline: float | None) -> int:
        prefix = bytearray(_LENGTH.size)
        self._fill(memoryview(prefix), deadline)
        length = int(_LENGTH.unpack(prefix)[0])
        if length > largest:
            raise EOFError
        return length

    def _fill(self, buffer: memoryview, deadline: float | None) -> None:
        while buffer:
            self._limit(deadline)
            received = self._socket.recv_into(buffer)
            if not received:
                raise EOFError
            buffer = buffer[received:]

    def _limit(self, deadline: float | None) -> None:
        if deadline is None:
            self._socket.settimeout(None)
            return
        remaining = deadline - monotonic()
        if remaining <= 0:
            raise TimeoutError
        self._socket.settimeout(remaining)


def limits_as_argument(limits: DecodeLimits) -> str:
    """Limits as a command line argument of a worker."""
    return json.dumps(asdict(limits))


def limits_from_argument(argument: str) -> DecodeLimits:
    """The limits of ``limits_as_argument``."""
    limits = DecodeLimits(**json.loads(argument))
    return replace(limits, chest_body_parts=tuple(limits.chest_body_parts))


def send_radiograph(channel: Channel, radiograph: Radiograph) -> None:
    """Answer with a radiograph: a header, then its pixels [H, W] float32 in row-major order."""
    header = {"facts": asdict(radiograph.facts), "warnings": [asdict(warning) for warning in radiograph.warnings]}
    channel.send(json.dumps(header).encode())
    channel.send(np.ascontiguousarray(radiograph.pixels).data.cast("B"))


def send_error(channel: Channel, error: ImageError) -> None:
    """Answer with an error."""
    answer = {"error": error.code, "detail": error.detail, "transfer_syntax": error.transfer_syntax}
    channel.send(json.dumps(answer).encode())


def receive_radiograph(channel: Channel, limits: DecodeLimits, deadline: float) -> Radiograph:
    """Receive a radiograph. Raises the ImageError of the answer, or EOFError where the answer is malformed."""
    try:
        header: dict[str, Any] = json.loads(channel.receive(_LARGEST_HEADER, deadline))
        if "error" in header:
            raise _ERRORS.get(header["error"], DecoderCrashed)(header["detail"], header["transfer_syntax"])
        facts = ImageFacts(**header["facts"])
        warnings = tuple(ImageWarning(**warning) for warning in header["warnings"])
        shape = int(facts.rows), int(facts.columns)
    except (KeyError, TypeError, ValueError):
        raise EOFError from None
    if min(shape) < 1 or shape[0] * shape[1] > limits.pixels:
        raise EOFError
    pixels: NDArray[np.float32] = np.empty(shape, dtype=np.float32)
    channel.receive_into(pixels.data.cast("B"), deadline)
    return Radiograph(pixels, facts, warnings)
