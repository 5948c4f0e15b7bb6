"""The HTTP server: uvicorn with a graceful drain on SIGTERM."""

import asyncio
import signal
import socket
from functools import partial
from time import perf_counter
from types import FrameType

import uvicorn
from fastapi import FastAPI

from app.runtime.http_timeouts import with_head_timeout
from app.service.admission import Lifecycle, Phase
from app.settings import Settings
from app.telemetry import get_logger, milliseconds_since

_BACKLOG = 2048


class DrainingServer(uvicorn.Server):
    """Drains on the first signal: unready at once, still serving for the drain delay, then no new connections.

    The process finishes accepted requests and exits with status 0. A second signal skips the delay.
    """

    def __init__(self, config: uvicorn.Config, lifecycle: Lifecycle, drain_delay_s: float) -> None:
        super().__init__(config)
        self._lifecycle = lifecycle
        self._drain_delay_s = drain_delay_s
        self._drain_began: float | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application, then answer on the sockets: the first is the main one, the second the admin port."""
        await super().startup(sockets)
        if self.started:
            for event, listener in zip(("listening", "operations"), sockets or (), strict=False):
                get_logger().info(event, url=url_of(listener))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish accepted requests and stop the application; past the drain timeout, requests are cancelled."""
        begin, requests = self._drain_began or perf_counter(), set(self.server_state.tasks)
        await super().shutdown(sockets)
        cancelled = sum(bool(request.cancelling()) for request in requests)
        outcome = "cut_off" if cancelled else "drained"
        get_logger().info("stopped", outcome=outcome, cancelled=cancelled, duration_ms=milliseconds_since(begin))

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Start to drain; called by the signal handler on the thread of the event loop."""
        del frame
        if self._drain_began is None:
            self._drain_began = perf_counter()
            log = partial(get_logger().info, "draining", signal=signal.Signals(sig).name)
            asyncio.get_running_loop().call_soon(log)  # not at once: the signal can interrupt the writing of a line
        if self.started and self._drain_delay_s and self._lifecycle.phase is not Phase.DRAINING:
            asyncio.get_running_loop().call_later(self._drain_delay_s, self._end)
        else:
            self._end()
        self._lifecycle.drain()

    def _end(self) -> None:
        self.should_exit = True


def make_server(app: FastAPI, settings: Settings) -> DrainingServer:
    """A server for an application made by ``create_app``."""
    config = uvicorn.Config(
        app,
        root_path=settings.root_path.rstrip("/"),
        http=with_head_timeout(settings.head_timeout_s),
        timeout_keep_alive=settings.keep_alive_s,
        h11_max_incomplete_event_size=settings.max_header_bytes,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=round(settings.drain_timeout_s),
    )
    return DrainingServer(config, app.state.lifecycle, settings.drain_delay_s)


def url_of(listener: socket.socket) -> str:
    """The URL of a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 picks a free one. Raises OSError."""
    return socket.create_server(
        (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=_BACKLOG, reuse_port=False
    )
