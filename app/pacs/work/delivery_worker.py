"""Results on their way to a node."""

import asyncio
from time import monotonic

from app.errors import NodeUnavailable
from app.pacs.store.outbox import Delivery, Outbox
from app.pacs.store.work_queue import RetryPolicy
from app.pacs.transport.protocols import Receipts, Target
from app.pacs.values import Problem
from app.pacs.work.retry import attempted, settled
from app.telemetry import PacsMetrics, get_logger

_MOST_OBJECTS = 16
_MOST_BYTES = 16 * 1024 * 1024
_LONGEST_REST_S = 30.0


class DeliveryWorker:
    """Delivers what one node is owed, a few objects a step. A node that does not answer is left alone for a while."""

    def __init__(
        self,
        name: str,
        outbox: Outbox,
        target: Target,
        retry_policy: RetryPolicy,
        metrics: PacsMetrics,
        longest_s: float,
    ) -> None:
        """A delivery that takes longer than ``longest_s`` has failed."""
        self._name = name
        self._outbox = outbox
        self._target = target
        self._retry_policy = retry_policy
        self._metrics = metrics
        self._longest_s = longest_s
        self._silences = 0
        self._rests_until = 0.0

    async def step(self) -> bool:
        """Deliver what is due; False where nothing is, or the node is left alone. Raises StoreUnavailable."""
        if monotonic() < self._rests_until:
            return False
        claimed = await asyncio.to_thread(self._outbox.claim, self._name, _MOST_OBJECTS, _MOST_BYTES)
        if claimed:
            await self._deliver(claimed)
        return bool(claimed)

    async def _deliver(self, deliveries: list[Delivery]) -> None:
        receipts = await self._send(deliveries)
        unknown = Problem(NodeUnavailable.code, "the node did not say what became of the object")
        outcomes = [(item, receipts.get(item.result.sop_instance_uid, unknown)) for item in deliveries]
        arrived = [item for item, problem in outcomes if problem is None]
        if arrived:
            await settled(lambda: self._outbox.delivered(arrived))
            self._metrics.objects.labels("delivered").inc(len(arrived))
        for item, problem in outcomes:
            if problem is not None:
                await self._failed(item, problem)

    async def _send(self, deliveries: list[Delivery]) -> Receipts:
        """What became of each object; where the node is silent, it is left alone, longer every time."""
        receipts = await attempted(self._target.send([item.result for item in deliveries]), self._longest_s, "the node")
        if not isinstance(receipts, Problem):
            self._silences = 0
            return receipts
        self._rests_until = monotonic() + min(_LONGEST_REST_S, self._retry_policy.pause(self._silences))
        self._silences += 1
        return dict.fromkeys((item.result.sop_instance_uid for item in deliveries), receipts)

    async def _failed(self, item: Delivery, problem: Problem) -> None:
        state = await settled(lambda: self._outbox.fail(item, problem))
        outcome = "dead" if state == "dead" else "retried"
        self._metrics.objects.labels(outcome).inc()
        get_logger().warning(
            "delivery_failed", node=self._name, object=item.claim.id, code=problem.code, outcome=outcome
        )
