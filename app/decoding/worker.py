"""A decode worker: a process that ``app.decoding.pool`` starts as a module and replaces when it dies."""

import os
import resource
import signal
import socket
import sys

from app.decoding.protocol import Channel, limits_from_argument, send_error, send_radiograph
from app.errors import DecoderCrashed, ImageError
from app.imaging.decode import decode_image
from app.imaging.radiograph import DecodeLimits

READY = b"ready"
_LARGEST_BODY = 1 << 40  # the service limits bodies; this limit only rejects absurd lengths
_ORPHAN_GRACE_S = 5.0
_NICENESS = 5


def serve(channel: Channel, limits: DecodeLimits, orphan_limit_s: float = 0.0) -> None:
    """Decode one message after the other until the peer closes the connection.

    ``orphan_limit_s``: the kernel kills this process when one image takes longer, in case the parent no longer exists;
    0 means no limit.
    """
    channel.send(READY)
    while True:
        try:
            data = channel.receive(_LARGEST_BODY)
        except (EOFError, OSError):
            return
        signal.setitimer(signal.ITIMER_REAL, orphan_limit_s)
        try:
            _answer(channel, data, limits)
        except OSError:
            return
        signal.setitimer(signal.ITIMER_REAL, 0)


def _answer(channel: Channel, data: bytes, limits: DecodeLimits) -> None:
    try:
        radiograph = decode_image(data, limits)
    except ImageError as error:
        send_error(channel, error)
    except Exception as error:  # noqa: BLE001 - last boundary of the process; only the class name is free of data
        send_error(channel, DecoderCrashed(f"the decoder failed with {type(error).__name__}"))
    else:
        send_radiograph(channel, radiograph)


def confine(memory_bytes: int) -> None:
    """Limit the address space to the current one plus ``memory_bytes``, disable core dumps, ignore signals.

    On SIGINT or SIGTERM to the process group the service drains: it still needs this process and stops it by closing
    the connection. A core dump would hold the pixels of a patient. The niceness gives the service precedence.
    """
    os.nice(_NICENESS)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    limit = mapped_bytes() + memory_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def mapped_bytes() -> int:
    """The address space of this process in bytes; 0 where the system does not report it."""
    try:
        with open("/proc/self/statm", encoding="ascii") as statm:
            return int(statm.read().split()[0]) * resource.getpagesize()
    except OSError:
        return 0


def main(arguments: list[str]) -> None:
    """Serve on an inherited socket: file descriptor, memory in bytes, seconds per image, limits."""
    descriptor, memory_bytes, timeout_s, limits = arguments
    confine(int(memory_bytes))
    channel = Channel(socket.socket(fileno=int(descriptor)))
    serve(channel, limits_from_argument(limits), float(timeout_s) + _ORPHAN_GRACE_S)


if __name__ == "__main__":
    main(sys.argv[1:])
