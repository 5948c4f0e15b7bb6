"""A TCP proxy to the service that can be interrupted: connections are cut and refused, as if the service were down."""

import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit


class InterruptibleProxy:
    """Forwards connections to a URL while it is open, always at the same address."""

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
            with suppress(OSError):  # the peer can have closed it already
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            service = socket.create_connection(self._target)
            self._sockets += [client, service]
            for ends in ((client, service), (service, client)):
                threading.Thread(target=_forward, args=ends, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _forward(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):  # closed
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
