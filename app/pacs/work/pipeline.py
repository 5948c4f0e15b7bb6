"""The way of films through the network: looked up, fetched, analysed, delivered. All it knows is in the store.

Loops claim work, do it, and say what became of it; where one ends in between, however suddenly, its work is claimed
again. Blocking work (the database) runs on threads.
"""

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic

from app.errors import StoreUnavailable
from app.pacs.store.store import QUEUES, Store
from app.telemetry import PacsMetrics, get_logger

_POLL_S = 1.0
_PROBE_EVERY_S = 5.0
_TIDY_EVERY_S = 60.0

Step = Callable[[], Awaitable[bool]]
"""Does what is due; False where nothing was."""


class Pipeline:
    """The loops of one process. Used on one event loop, but for ``wake``."""

    def __init__(self, store: Store, steps: Sequence[Step], metrics: PacsMetrics, retention_s: float) -> None:
        """Every step gets a loop of its own; one that is there twice runs twice at once.

        What ended is forgotten after ``retention_s``.
        """
        self._store = store
        self._steps = (*steps, self._upkeep)
        self._metrics = metrics
        self._retention_s = retention_s
        self._tidy_at = 0.0
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to work."""
        self._loop = asyncio.get_running_loop()
        self._news, self._stopping = asyncio.Event(), asyncio.Event()
        self._tasks = [asyncio.create_task(self._repeat(step)) for step in self._steps]

    def wake(self) -> None:
        """There may be new work. Safe from any thread."""
        self._loop.call_soon_threadsafe(self._spread_news)

    async def stop(self, timeout_s: float) -> None:
        """Claim no more, and finish what is being done within ``timeout_s``; the rest is for the next start."""
        self._stopping.set()
        self._spread_news()
        _, late = await asyncio.wait(self._tasks, timeout=timeout_s)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    async def _repeat(self, step: Step) -> None:
        while not self._stopping.is_set():
            news = self._news
            try:
                was_busy = await step()
            except StoreUnavailable:
                was_busy = False
            except Exception as error:  # noqa: BLE001 - a loop that ends would leave work undone
                places = [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
                get_logger().error("unexpected_error", error=type(error).__name__, at=places[-5:])
                was_busy = False
            if was_busy:
                self._spread_news()  # what was done may be work for the next one
            elif not self._stopping.is_set():
                await _first_of(news, _POLL_S)

    def _spread_news(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def _upkeep(self) -> bool:
        """Count, watch the database, forget; returns False, so that it comes back with the next news or second."""
        await asyncio.to_thread(self._count)  # before anything is written: a full disk can still be read
        await asyncio.to_thread(self._store.database.probe)
        if monotonic() >= self._tidy_at:
            self._tidy_at = monotonic() + _TIDY_EVERY_S
            await asyncio.to_thread(self._store.tidy, self._retention_s)
        await _first_of(self._stopping, _PROBE_EVERY_S)
        return False

    def _count(self) -> None:
        depths = self._store.depths()
        for queue in QUEUES:
            self._metrics.waiting.labels(queue).set(depths.waiting[queue])
            self._metrics.dead.labels(queue).set(depths.dead[queue])
        self._metrics.spool_bytes.set(depths.spool_bytes)


async def _first_of(event: asyncio.Event, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        pass
