"""The outbox: the queue of results, until their target has them."""

import hashlib
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, exists, insert, select, update

from app.errors import ResultConflict
from app.pacs.store.database import Database
from app.pacs.store.schema import contents, instances, objects, results
from app.pacs.store.work_queue import Claim, Clock, WorkQueue, claim_of, fresh_work, new_id
from app.pacs.values import Problem, Result

SETTLED = ("delivered", "refused")
"""Final states of an object, whose bytes are deleted; ``refused`` means that an operator discarded it."""


@dataclass(frozen=True)
class Delivery:
    """A claimed object."""

    claim: Claim
    result: Result


@dataclass(frozen=True)
class Delivered:
    """An image whose results are all delivered or discarded; ``accepted_at`` is in seconds since the epoch."""

    instance_id: str
    accepted_at: float


class Outbox:
    """The queue of results, by target. Thread-safe."""

    def __init__(self, database: Database, queue: WorkQueue, clock: Clock = time.time) -> None:
        self._database = database
        self._queue = queue
        self._clock = clock

    def put(self, connection: Connection, instance_id: str, target: str, result: Result) -> None:
        """Queue a result for a target within a transaction; a result that was delivered before is sent again.

        Raises ResultConflict if different bytes exist under the same UID: from another version of the service, or from
        another image with the same UID. The earlier object is kept.
        """
        digest = hashlib.sha256(result.content).hexdigest()
        mine = (objects.c.target == target) & (objects.c.sop_instance_uid == result.sop_instance_uid)
        before = connection.execute(select(objects).where(mine).with_for_update()).first()
        if before is not None and before.sha256 != digest:
            raise ResultConflict("a different object with the same UID exists and is kept")
        if before is None:
            identity = new_id()
            connection.execute(
                insert(objects).values(
                    id=identity,
                    target=target,
                    study_uid=result.study_uid,
                    sop_class_uid=result.sop_class_uid,
                    sop_instance_uid=result.sop_instance_uid,
                    sha256=digest,
                    **fresh_work(self._clock()),
                )
            )
        else:
            identity = before.id
        if before is None or before.state in SETTLED:
            connection.execute(insert(contents).values(id=identity, size=len(result.content), bytes=result.content))
        if before is not None and before.state != "waiting":
            again = fresh_work(self._clock()) | {"ended_at": None, "failing_since": None}
            connection.execute(update(objects).where(objects.c.id == identity).values(**again))
        connection.execute(insert(results).values(instance_id=instance_id, object_id=identity))

    def claim(self, target: str, limit: int, max_bytes: int) -> list[Delivery]:
        """Objects to send together: at most ``limit``, and none after ``max_bytes``. Raises StoreUnavailable."""
        with self._database.writing() as connection:
            deliveries: list[Delivery] = []
            total = 0
            for row in self._queue.claim(connection, limit, objects.c.target == target):
                claim = claim_of(row)
                if deliveries and total >= max_bytes:
                    self._queue.release(connection, claim)
                    continue
                content = connection.execute(select(contents.c.bytes).where(contents.c.id == row.id)).scalar_one()
                total += len(content)
                result = Result(row.study_uid, row.sop_class_uid, row.sop_instance_uid, content)
                deliveries.append(Delivery(claim, result))
            return deliveries

    def delivered(self, deliveries: Iterable[Delivery]) -> list[Delivered]:
        """Mark objects as delivered, delete their bytes, and close and return images without further results."""
        with self._database.writing() as connection:
            ended = [item.claim.id for item in deliveries if self._queue.settle(connection, item.claim, "delivered")]
            connection.execute(delete(contents).where(contents.c.id.in_(ended)))
            affected = select(results.c.instance_id).where(results.c.object_id.in_(ended))
            return close_finished(connection, self._clock(), list(connection.execute(affected).scalars()))

    def fail(self, delivery: Delivery, problem: Problem) -> str | None:
        """Schedule a retry, or give up; keeps the bytes. Returns the new state. Raises StoreUnavailable."""
        with self._database.writing() as connection:
            return self._queue.fail(connection, delivery.claim, problem)


def close_finished(connection: Connection, now: float, instance_ids: Sequence[str] | None = None) -> list[Delivered]:
    """Close and return analysed images whose results are all delivered or discarded.

    Two replicas that deliver the last two results at the same time can each see the other's as open; therefore
    maintenance calls this for all images (``instance_ids`` of None).
    """
    pending = exists().where(
        results.c.instance_id == instances.c.id, objects.c.id == results.c.object_id, objects.c.state.not_in(SETTLED)
    )
    finished = update(instances).where(instances.c.state == "analysed", ~pending)
    if instance_ids is not None:
        finished = finished.where(instances.c.id.in_(instance_ids))
    closed = finished.values(state="delivered", ended_at=now).returning(instances.c.id, instances.c.created_at)
    return [Delivered(*row) for row in connection.execute(closed)]
