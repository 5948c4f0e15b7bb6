"""A way to the service that can be shut: connections are cut and refused, as when the service is gone."""

import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit


class Door:
    """Passes connections on to a URL while it is open, always at the same address."""

    def __init__(self, url: str) -> None:
        self._target = ("127.0.0.1", urlsplit(url).port)
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self._address = probe.getsockname()
        self._sockets: list[socket.socket] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._address[1]}"

    def open(self) -> None:
        listener = socket.create_server(self._address)
        self._sockets = [listener]
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def close(self) -> None:
        for end in self._sockets:
            with suppress(OSError):  # the other side was quicker
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                caller, _ = listener.accept()
            except OSError:
                return
            service = socket.create_connection(self._target)
            self._sockets += [caller, service]
            for ends in ((caller, service), (service, caller)):
                threading.Thread(target=_pass, args=ends, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _pass(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):  # shut
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
