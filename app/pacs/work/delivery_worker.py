"""Delivery of results to one node."""

import asyncio
import time
from time import monotonic, perf_counter

from app.errors import NodeUnavailable
from app.pacs.store.outbox import Delivered, Delivery, Outbox
from app.pacs.store.work_queue import RetryPolicy
from app.pacs.transport.protocols import Receipts, Target
from app.pacs.values import Problem
from app.pacs.work.retry import log_attempt, persist_outcome, run_attempt
from app.telemetry import PacsMetrics, get_logger, milliseconds_since

_MAX_OBJECTS = 16
_MAX_BYTES = 16 * 1024 * 1024


class DeliveryWorker:
    """Delivers the results for one node, several objects in each step.

    After a failure of the node as a whole it pauses (``RetryPolicy.pause``): the next due objects try the node again,
    even where the delay of each object is longer.
    """

    def __init__(
        self,
        name: str,
        outbox: Outbox,
        target: Target,
        retry_policy: RetryPolicy,
        metrics: PacsMetrics,
        timeout_s: float,
    ) -> None:
        """A delivery fails after ``timeout_s``."""
        self._name = name
        self._outbox = outbox
        self._target = target
        self._retry_policy = retry_policy
        self._metrics = metrics
        self._timeout_s = timeout_s
        self._consecutive_failures = 0
        self._paused_until = 0.0

    async def step(self) -> bool:
        """Deliver what is due; returns False if nothing is, or during a pause. Raises StoreUnavailable."""
        if monotonic() < self._paused_until:
            return False
        claimed = await asyncio.to_thread(self._outbox.claim, self._name, _MAX_OBJECTS, _MAX_BYTES)
        if claimed:
            await self._deliver(claimed)
        return bool(claimed)

    async def _deliver(self, deliveries: list[Delivery]) -> None:
        begin = perf_counter()
        receipts = await self._send(deliveries)
        unknown = Problem(NodeUnavailable.code, "the node returned no outcome for the object")
        outcomes = [(item, receipts.get(item.result.sop_instance_uid, unknown)) for item in deliveries]
        delivered = [item for item, problem in outcomes if problem is None]
        if delivered:
            finished = await persist_outcome(lambda: self._outbox.delivered(delivered))
            self._metrics.objects.labels("delivered").inc(len(delivered))
            self._log(finished, begin)
        for item, problem in outcomes:
            if problem is not None:
                await self._fail(item, problem, begin)

    def _log(self, finished: list[Delivered], begin: float) -> None:
        """A line for each image whose last result was delivered."""
        for image in finished:
            get_logger().info(
                "instance_delivered",
                instance=image.instance_id,
                node=self._name,
                outcome="delivered",
                duration_ms=milliseconds_since(begin),
                since_accepted_s=round(time.time() - image.accepted_at, 1),
            )

    async def _send(self, deliveries: list[Delivery]) -> Receipts:
        """The outcome of each object; after a failure of the node as a whole, pause with exponential backoff."""
        receipts = await run_attempt(
            self._target.send([item.result for item in deliveries]), self._timeout_s, "the node"
        )
        if not isinstance(receipts, Problem):
            self._consecutive_failures = 0
            return receipts
        self._paused_until = monotonic() + self._retry_policy.pause(self._consecutive_failures)
        self._consecutive_failures += 1
        return dict.fromkeys((item.result.sop_instance_uid for item in deliveries), receipts)

    async def _fail(self, item: Delivery, problem: Problem, begin: float) -> None:
        state = await persist_outcome(lambda: self._outbox.fail(item, problem))
        outcome = "dead" if state == "dead" else "retried"
        self._metrics.objects.labels(outcome).inc()
        log_attempt("delivery_failed", problem, begin, object=item.claim.id, node=self._name, outcome=outcome)
