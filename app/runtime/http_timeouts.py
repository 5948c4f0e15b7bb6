"""HTTP connections that must say what they want in time: a head that never comes holds none of them open."""

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol


class HeadDeadline(H11Protocol):
    """Closes a connection whose next request head is not complete in time, be it silent or sent byte by byte.

    The time runs from the connection, and after an answer from the first byte of the next head; in between runs
    uvicorn's own keep-alive timer. Bodies are bounded by the deadline of their request instead.
    """

    head_timeout_s = 10.0
    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Begin to wait for the first head."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Go on waiting, from the first byte on, unless the head is complete now."""
        super().data_received(data)
        if self._is_answering:
            self._stop_waiting()
        elif self._waiting is None and self.timeout_keep_alive_task is None:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._stop_waiting()
        super().connection_lost(exc)

    @property
    def _is_answering(self) -> bool:
        return bool(self.cycle) and not self.cycle.response_complete

    def _wait(self) -> None:
        self._waiting = self.loop.call_later(self.head_timeout_s, self._give_up)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _give_up(self) -> None:
        self._waiting = None
        if not self._is_answering and not self.transport.is_closing():
            self.transport.close()


def with_head_timeout(seconds: float) -> type[HeadDeadline]:
    """The protocol with a given time for a head."""
    return type("HeadDeadline", (HeadDeadline,), {"head_timeout_s": seconds})
