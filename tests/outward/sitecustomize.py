"""Imported at the start of every interpreter that has this folder on its path: records what the process reaches.

Standard library only, and silent: it runs in processes of the product.
"""

import json
import os
import socket
import sys

_RECORD = os.open(os.environ["RECORDED_IN"], os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
_LOOKUPS = {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"}
_SENDS = {"socket.connect", "socket.sendto", "socket.sendmsg"}
_CHANGES = {"os.mkdir": 0, "os.rename": 1, "os.link": 1, "os.symlink": 1, "os.truncate": 0, "sqlite3.connect": 0}
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

sys.modules["uvloop"] = None  # it connects without audit events; uvicorn then takes asyncio's loop


def _record(event: str, arguments: tuple) -> None:
    """Write a line for an event that reaches beyond the process. Source: table of audit events of Python's docs."""
    what = None
    if event == "open":
        what = arguments[0] if (arguments[2] or 0) & _WRITES else None
    elif event in _CHANGES:
        what = arguments[_CHANGES[event]]
    elif event in _LOOKUPS:
        what = arguments[0]
    elif event in _SENDS:
        what = _host(*arguments[:2])
    if isinstance(what, (str, bytes, os.PathLike)):
        line = json.dumps([event, os.fsdecode(what)]) + "\n"
        os.write(_RECORD, line.encode())


def _host(own: socket.socket, address: object) -> object:
    """The host of an address; the path of a Unix socket. A connected socket has none, nor has a pair."""
    return address[0] if isinstance(address, tuple) else address


sys.addaudithook(_record)
