"""Batches the patches of concurrent requests for the engines, with bounded queues and deadlines."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from time import monotonic

from torch import Tensor

from app.errors import DeadlineExceeded, Draining, QueueFull
from app.inference import faults
from app.inference.engine import Engine
from app.inference.items import Inference, Item, Lane
from app.inference.replica import Replica
from app.telemetry import Fault


class Scheduler:
    """Runs each engine on its own thread; items wait in two priority lanes, counted in patches, for a free engine.

    Predictions have priority, but after ``FOREGROUND_RUN`` consecutive calls for them one call runs a waiting chunk of
    a map, so that neither lane starves. A batch holds items of one lane, up to a number of patches; a larger item runs
    alone. A failing engine leaves its work to the others until a probe succeeds. Every item gets exactly one outcome.
    """

    FOREGROUND_RUN = 4

    def __init__(
        self,
        engines: Sequence[Engine],
        *,
        batch_patches: int,
        map_patches: int,
        batch_wait_s: float,
        queue_patches: int,
        on_batch: Callable[[int], None],
        on_fault: Callable[[Fault], None],
    ) -> None:
        """Create a scheduler; ``start`` starts its threads.

        Args:
            engines: engines of the same model, on one or several devices, or several that share one device.
            batch_patches: maximum patches in one call.
            map_patches: maximum patches in one call for maps, for which a prediction has to wait.
            batch_wait_s: batching window of a prediction, seconds.
            queue_patches: maximum patches waiting in one lane; an empty lane accepts an item of any size.
            on_batch: called with the number of items of every call.
            on_fault: called with every fault of a call.
        """
        self.replicas = [Replica(engine, on_fault) for engine in engines]
        self._batch_patches = {Lane.FOREGROUND: batch_patches, Lane.BACKGROUND: min(batch_patches, map_patches)}
        self._batch_wait_s = batch_wait_s
        self._queue_patches = queue_patches
        self._on_batch = on_batch
        self._lanes: dict[Lane, deque[Item]] = {lane: deque() for lane in Lane}
        self._waiting_patches = dict.fromkeys(Lane, 0)
        self._foreground_run = 0
        self._closing = False
        self._changed = threading.Condition()
        self._threads = [
            threading.Thread(target=self._run, args=(replica,), name=f"inference-{index}", daemon=True)
            for index, replica in enumerate(self.replicas)
        ]

    @property
    def engine(self) -> Engine:
        """The first engine; all of them run the same model."""
        return self.replicas[0].engine

    @property
    def batch_patches(self) -> int:
        """Maximum patches in one call for predictions."""
        return self._batch_patches[Lane.FOREGROUND]

    @property
    def queue_depth(self) -> int:
        """Number of waiting patches."""
        return sum(self._waiting_patches.values())

    @property
    def is_alive(self) -> bool:
        """Whether the threads run and accept work."""
        return all(thread.is_alive() for thread in self._threads) and not self._closing

    @property
    def is_failing(self) -> bool:
        """Whether every engine failed several times in a row and no probe has succeeded since."""
        return all(replica.health.is_failing for replica in self.replicas)

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    async def submit(self, patches: Tensor, deadline: float, lane: Lane = Lane.FOREGROUND) -> Inference:
        """Classify patches.

        Args:
            patches: [N, 1, p, p] float32 in [0, 1].
            deadline: on the ``time.monotonic`` clock, seconds.
            lane: priority of the work.

        Raises:
            QueueFull, Draining: immediately, without queueing.
            DeadlineExceeded: the deadline passed while waiting or running.
            InferenceFailed, InvalidModelOutput: the engine raised, or returned values that are not finite.

        Cancelling the awaiting task removes the item from the queue unless it is running.
        """
        item = Item(patches, deadline, lane, monotonic())
        self._enqueue(item)
        try:
            async with asyncio.timeout(max(0.0, deadline - monotonic())):
                return await asyncio.wrap_future(item.outcome)
        except TimeoutError:
            raise DeadlineExceeded("the deadline passed before the model had finished") from None
        finally:
            if item.outcome.cancel():
                self._withdraw(item)

    def close(self) -> None:
        """Accept no new work, finish the queue, stop the threads. Idempotent."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    def _enqueue(self, item: Item) -> None:
        with self._changed:
            if self._closing:
                raise Draining("the service is shutting down")
            waiting = self._waiting_patches[item.lane]
            if waiting and waiting + len(item) > self._queue_patches:
                raise QueueFull("the queue is full; try again shortly")
            self._lanes[item.lane].append(item)
            self._waiting_patches[item.lane] += len(item)
            self._changed.notify_all()

    def _withdraw(self, item: Item) -> None:
        """Remove a cancelled item from its lane and release its memory."""
        with self._changed, suppress(ValueError):  # a thread can have taken it meanwhile
            self._lanes[item.lane].remove(item)
            self._waiting_patches[item.lane] -= len(item)
            self._changed.notify_all()

    def _run(self, replica: Replica) -> None:
        while (batch := self._next_batch(replica)) is not None:
            if batch:
                self._on_batch(len(batch))
                replica.answer(batch)
            elif replica.health.is_failing:
                replica.probe()

    def _next_batch(self, replica: Replica) -> list[Item] | None:
        """The items of the next call; empty if all expired or were cancelled, or a probe is due; None to stop."""
        probe_at = monotonic() + faults.PROBE_EVERY_S if replica.health.is_failing else None
        with self._changed:
            while not self._has_work_for(replica):
                if self._closing and not any(self._lanes.values()):
                    return None
                wait_s = None if probe_at is None else probe_at - monotonic()
                if wait_s is not None and wait_s <= 0:
                    return []
                self._changed.wait(wait_s)
            lane = self._choose_lane()
            if lane is Lane.FOREGROUND:
                self._changed.wait_for(lambda: self._closing or self._is_full(lane), self._batch_wait_s)
            taken = self._take(lane)
            self._changed.notify_all()
        return [item for item in taken if self._may_run(item)]

    def _has_work_for(self, replica: Replica) -> bool:
        left_to_others = replica.health.is_failing and not self.is_failing
        return any(self._lanes.values()) and not left_to_others

    def _is_full(self, lane: Lane) -> bool:
        return self._waiting_patches[lane] >= self._batch_patches[lane]

    def _choose_lane(self) -> Lane:
        background_waits = bool(self._lanes[Lane.BACKGROUND])
        if self._lanes[Lane.FOREGROUND] and not (background_waits and self._foreground_run >= self.FOREGROUND_RUN):
            self._foreground_run += 1
            return Lane.FOREGROUND
        self._foreground_run = 0
        return Lane.BACKGROUND

    def _take(self, lane: Lane) -> list[Item]:
        """Take items for one call; none if another engine was faster."""
        waiting = self._lanes[lane]
        taken: list[Item] = []
        count = 0
        while waiting and (not taken or count + len(waiting[0]) <= self._batch_patches[lane]):
            item = waiting.popleft()
            count += len(item)
            taken.append(item)
        self._waiting_patches[lane] -= count
        return taken

    @staticmethod
    def _may_run(item: Item) -> bool:
        if item.deadline <= monotonic():
            item.fail(DeadlineExceeded("the deadline passed while the image waited for the model"))
            return False
        return item.outcome.set_running_or_notify_cancel()
