"""A time limit for request heads, so that slow or silent clients cannot hold connections open."""

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol


class HeadDeadline(H11Protocol):
    """Closes a connection whose next request head is not complete in time.

    The time runs from the start of the connection, and later from the first byte of each next head; in between,
    uvicorn's keep-alive timer applies. Bodies have the deadline of their request.
    """

    head_timeout_s = 10.0
    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Start the timer for the first head."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Stop the timer once the head is complete; start it at the first byte of a next head."""
        super().data_received(data)
        if self._is_answering:
            self._stop_waiting()
        elif self._waiting is None and self.timeout_keep_alive_task is None:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer."""
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
    """The protocol class with a time limit for heads."""
    return type("HeadDeadline", (HeadDeadline,), {"head_timeout_s": seconds})
