"""The process that decodes: started as a module by ``app.decoding.pool``, and allowed to die."""

import os
import resource
import signal
import socket
import sys

from app.decoding.protocol import Channel, send_error, send_radiograph
from app.errors import DecoderCrashed, ImageError
from app.imaging.decode import decode_image
from app.imaging.radiograph import DecodeLimits

READY = b"ready"
_LARGEST_BODY = 1 << 40  # the service bounds bodies; a bound here only keeps lengths sane
_ORPHAN_GRACE_S = 5.0
_NICENESS = 5


def serve(channel: Channel, limits: DecodeLimits, orphan_limit_s: float = 0.0) -> None:
    """Decode message by message until the other end hangs up.

    ``orphan_limit_s``: the kernel kills this process when one image takes longer, for the case that no parent is left
    to do so; 0 means no such limit.
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
    except Exception as error:  # noqa: BLE001 - the last boundary of this process; the class alone is safe to tell
        send_error(channel, DecoderCrashed(f"the decoder failed with {type(error).__name__}"))
    else:
        send_radiograph(channel, radiograph)


def confine(memory_bytes: int) -> None:
    """Bound the address space to what is mapped now and ``memory_bytes`` more; leave no core dumps, obey no signals.

    SIGINT and SIGTERM to the whole group mean that the service drains: it still needs this process and ends it by
    hanging up. A core dump would hold the pixels of a patient. Where cores are short, the process that answers clients
    and probes goes before this one.
    """
    os.nice(_NICENESS)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    limit = mapped_bytes() + memory_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def mapped_bytes() -> int:
    """The address space of this process in bytes; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm", encoding="ascii") as statm:
            return int(statm.read().split()[0]) * resource.getpagesize()
    except OSError:
        return 0


def main(arguments: list[str]) -> None:
    """Serve on an inherited socket: file descriptor, memory in bytes, seconds per image, pixel and inflation limits."""
    descriptor, memory_bytes, timeout_s, pixels, inflated_bytes = arguments
    confine(int(memory_bytes))
    channel = Channel(socket.socket(fileno=int(descriptor)))
    serve(channel, DecodeLimits(int(pixels), int(inflated_bytes)), float(timeout_s) + _ORPHAN_GRACE_S)


if __name__ == "__main__":
    main(sys.argv[1:])
