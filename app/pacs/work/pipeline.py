"""The background pipeline: query, retrieve, analyse, deliver. Its whole state is in the store.

Each loop claims work, does it and persists the outcome; the work of a loop that ends early is claimed again after its
lease. Blocking calls (the database) run on threads.
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
"""Does what is due; returns False if nothing was."""


class Pipeline:
    """The background loops of one process. Use on one event loop, except ``wake``."""

    def __init__(self, store: Store, steps: Sequence[Step], metrics: PacsMetrics, retention_s: float) -> None:
        """Each entry of ``steps`` gets its own loop; an entry that occurs twice runs twice concurrently.

        Finished rows are deleted after ``retention_s``.
        """
        self._store = store
        self._steps = (*steps, self._maintain)
        self._metrics = metrics
        self._retention_s = retention_s
        self._tidy_at = 0.0
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start all loops."""
        self._loop = asyncio.get_running_loop()
        self._wakeup, self._stopping = asyncio.Event(), asyncio.Event()
        self._tasks = [asyncio.create_task(self._repeat(step)) for step in self._steps]

    def wake(self) -> None:
        """Wake all loops, because there can be new work. Thread-safe."""
        self._loop.call_soon_threadsafe(self._wake_all)

    async def stop(self, timeout_s: float) -> None:
        """Claim no more work, and let current work finish within ``timeout_s``; the rest continues after a restart."""
        self._stopping.set()
        self._wake_all()
        _, late = await asyncio.wait(self._tasks, timeout=timeout_s)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    async def _repeat(self, step: Step) -> None:
        while not self._stopping.is_set():
            wakeup = self._wakeup
            try:
                was_busy = await step()
            except StoreUnavailable:
                was_busy = False
            except Exception as error:  # noqa: BLE001 - a loop that ended would leave work undone
                places = [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
                get_logger().error("unexpected_error", error=type(error).__name__, at=places[-5:])
                was_busy = False
            if was_busy:
                self._wake_all()  # the outcome can be work for another loop
            elif not self._stopping.is_set():
                await _wait_for(wakeup, _POLL_S)

    def _wake_all(self) -> None:
        wakeup, self._wakeup = self._wakeup, asyncio.Event()
        wakeup.set()

    async def _maintain(self) -> bool:
        """Update metrics, probe the database, delete old rows; returns False, so that the loop then waits."""
        await asyncio.to_thread(self._count)  # before any write: a full disk is still readable
        await asyncio.to_thread(self._store.database.probe)
        if monotonic() >= self._tidy_at:
            self._tidy_at = monotonic() + _TIDY_EVERY_S
            await asyncio.to_thread(self._store.tidy, self._retention_s)
        await _wait_for(self._stopping, _PROBE_EVERY_S)
        return False

    def _count(self) -> None:
        depths = self._store.depths()
        for queue in QUEUES:
            self._metrics.waiting.labels(queue).set(depths.waiting[queue])
            self._metrics.dead.labels(queue).set(depths.dead[queue])
        self._metrics.spool_bytes.set(depths.spool_bytes)


async def _wait_for(event: asyncio.Event, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        pass
