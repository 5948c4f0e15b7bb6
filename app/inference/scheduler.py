"""Joins the work of concurrent requests into network calls. Bounded, with deadlines, exactly one outcome per item."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import Enum
from itertools import accumulate
from time import monotonic

import torch
from torch import Tensor

from app.errors import DeadlineExceeded, Draining, InferenceFailed, InvalidModelOutput, MedPatchNetError, QueueFull
from app.inference.engine import Engine
from app.inference.faults import EngineHealth, run_halved
from app.telemetry import Fault, get_logger


class Lane(Enum):
    """Who waits for the work: a prediction, or one of the many chunks of a map."""

    FOREGROUND = "foreground"
    BACKGROUND = "background"


@dataclass(frozen=True)
class Inference:
    """The outcome of one item: ``logits`` [N, C] float32, and where its time went, in seconds."""

    logits: Tensor
    queue_seconds: float
    inference_seconds: float


@dataclass
class _Item:
    patches: Tensor  # [N, 1, p, p]
    deadline: float
    lane: Lane
    submitted: float
    outcome: "Future[Inference]" = field(default_factory=Future["Inference"])

    def fail(self, error: MedPatchNetError) -> None:
        if self.outcome.set_running_or_notify_cancel():
            self.outcome.set_exception(error)


class Scheduler:
    """Runs an engine on a thread of its own; items wait in two lanes, counted in patches.

    Predictions go first, but after ``FOREGROUND_RUN`` calls in a row for them a waiting chunk of a map gets one, so
    that neither side starves. A batch holds items of one lane, up to ``batch_patches``; a larger item runs alone.
    """

    FOREGROUND_RUN = 4

    def __init__(
        self,
        engine: Engine,
        *,
        batch_patches: int,
        batch_wait_s: float,
        queue_patches: int,
        on_batch: Callable[[int], None],
        on_fault: Callable[[Fault], None],
    ) -> None:
        """Make a scheduler; ``start`` begins its thread.

        Args:
            engine: the network.
            batch_patches: most patches in one call.
            batch_wait_s: how long to wait for company when nothing else is waiting, seconds.
            queue_patches: most patches waiting in one lane; an item that arrives at an empty lane is always taken.
            on_batch: told the number of items of every call.
            on_fault: told what went wrong in a call.
        """
        self.engine = engine
        self._batch_patches = batch_patches
        self._batch_wait_s = batch_wait_s
        self._queue_patches = queue_patches
        self._on_batch = on_batch
        self._on_fault = on_fault
        self._health = EngineHealth()
        self._probe_patch = torch.zeros(0)
        self._lanes: dict[Lane, deque[_Item]] = {lane: deque() for lane in Lane}
        self._waiting_patches = dict.fromkeys(Lane, 0)
        self._foreground_run = 0
        self._closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="inference", daemon=True)

    @property
    def queue_depth(self) -> int:
        """Patches waiting now."""
        return sum(self._waiting_patches.values())

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs and takes work."""
        return self._thread.is_alive() and not self._closing

    @property
    def is_failing(self) -> bool:
        """Whether the engine failed several times in a row, and no probe has succeeded since."""
        return self._health.is_failing

    def start(self) -> None:
        """Begin the thread."""
        self._thread.start()

    async def submit(self, patches: Tensor, deadline: float, lane: Lane = Lane.FOREGROUND) -> Inference:
        """Classify patches.

        Args:
            patches: [N, 1, p, p] float32 in [0, 1].
            deadline: on the ``time.monotonic`` clock, seconds.
            lane: who waits.

        Raises:
            QueueFull, Draining: at once; nothing was queued.
            DeadlineExceeded: the deadline passed while waiting or running.
            InferenceFailed, InvalidModelOutput: the engine raised, or returned values that are not finite.

        Cancelling the awaiting task takes the item out of the queue if it does not run yet.
        """
        item = _Item(patches, deadline, lane, monotonic())
        self._enqueue(item)
        try:
            async with asyncio.timeout(max(0.0, deadline - monotonic())):
                return await asyncio.wrap_future(item.outcome)
        except TimeoutError:
            raise DeadlineExceeded("the deadline passed before the network had answered") from None

    def close(self) -> None:
        """Take no new work, finish what waits, end the thread. Safe to call twice."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join()

    def _enqueue(self, item: _Item) -> None:
        count = item.patches.shape[0]
        with self._changed:
            if self._closing:
                raise Draining("the service is shutting down")
            waiting = self._waiting_patches[item.lane]
            if waiting and waiting + count > self._queue_patches:
                raise QueueFull("as many images wait as are allowed; try again shortly")
            self._lanes[item.lane].append(item)
            self._waiting_patches[item.lane] += count
            self._changed.notify_all()

    def _run(self) -> None:
        while (batch := self._next_batch()) is not None:
            if batch:
                self._answer(batch)
            elif self._health.is_failing:
                self._probe()

    def _next_batch(self) -> list[_Item] | None:
        """The items of the next call; empty where all had expired or left, or it is time for a probe; None to end."""
        with self._changed:
            while not any(self._lanes.values()):
                if self._closing:
                    return None
                if not self._changed.wait(self._health.idle_wait_s):
                    return []
            lane = self._choose_lane()
            self._changed.wait_for(
                lambda: self._closing or self._waiting_patches[lane] >= self._batch_patches, self._batch_wait_s
            )
            taken = self._take(lane)
        return [item for item in taken if self._may_run(item)]

    def _choose_lane(self) -> Lane:
        background_waits = bool(self._lanes[Lane.BACKGROUND])
        if self._lanes[Lane.FOREGROUND] and not (background_waits and self._foreground_run >= self.FOREGROUND_RUN):
            self._foreground_run += 1
            return Lane.FOREGROUND
        self._foreground_run = 0
        return Lane.BACKGROUND

    def _take(self, lane: Lane) -> list[_Item]:
        waiting = self._lanes[lane]
        taken: list[_Item] = []
        count = 0
        while waiting and (not taken or count + waiting[0].patches.shape[0] <= self._batch_patches):
            item = waiting.popleft()
            count += item.patches.shape[0]
            taken.append(item)
        self._waiting_patches[lane] -= count
        return taken

    @staticmethod
    def _may_run(item: _Item) -> bool:
        if item.deadline <= monotonic():
            item.fail(DeadlineExceeded("the deadline passed while the image waited for the network"))
            return False
        return item.outcome.set_running_or_notify_cancel()

    def _answer(self, batch: list[_Item]) -> None:
        """Run one call; every item of the batch gets its logits or an error."""
        begin = monotonic()
        self._on_batch(len(batch))
        try:
            joined = torch.cat([item.patches for item in batch]) if len(batch) > 1 else batch[0].patches
            self._probe_patch = torch.zeros_like(joined[:1])
            logits = run_halved(self.engine.patch_logits, joined, lambda: self._on_fault("out_of_memory"))
            parts = torch.tensor_split(logits, _boundaries(batch))
        except Exception as error:  # noqa: BLE001 - whatever the engine raises, every item is answered
            self._health.note(succeeded=False)
            self._fail("engine_error", error=type(error).__name__, items=len(batch))
            for item in batch:
                item.outcome.set_exception(InferenceFailed("the network failed on this batch; nothing was predicted"))
            return
        seconds = monotonic() - begin
        self._health.note(succeeded=bool(torch.isfinite(logits).all()))
        for item, part in zip(batch, parts, strict=True):
            if part.shape[0] == item.patches.shape[0] and bool(torch.isfinite(part).all()):
                item.outcome.set_result(Inference(part, begin - item.submitted, seconds))
            else:
                self._fail("invalid_output")
                item.outcome.set_exception(InvalidModelOutput("the network returned values that are not finite"))

    def _fail(self, fault: Fault, **facts: object) -> None:
        self._on_fault(fault)
        get_logger().error("inference_failed", fault=fault, **facts)

    def _probe(self) -> None:
        """Try an empty patch: an engine that fails gets no work that would show that it has recovered."""
        try:
            recovered = bool(torch.isfinite(self.engine.patch_logits(self._probe_patch)).all())
        except Exception:  # noqa: BLE001 - it still fails, whatever it raises
            recovered = False
        self._health.note(succeeded=recovered)
        if recovered:
            get_logger().info("inference_recovered")


def _boundaries(batch: list[_Item]) -> list[int]:
    """Where each item after the first begins in the joined batch."""
    return list(accumulate(item.patches.shape[0] for item in batch[:-1]))
