"""Results that are owed to a node, until the node has them."""

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
"""States of an object that nothing more happens to, and whose bytes are gone: an operator discards by ``refused``."""


@dataclass(frozen=True)
class Delivery:
    """A claimed object on its way to a node."""

    claim: Claim
    result: Result


class Outbox:
    """The queue of results, by target. Safe from any thread."""

    def __init__(self, database: Database, queue: WorkQueue, clock: Clock = time.time) -> None:
        self._database = database
        self._queue = queue
        self._clock = clock

    def put(self, connection: Connection, instance_id: str, target: str, result: Result) -> None:
        """Owe a result to a target, as part of a transaction; one that was delivered before is sent again, unchanged.

        Raises ResultConflict where other bytes were made under the same UID: by another version of the service, or
        from another image that claims to be the same. What the target has stays.
        """
        digest = hashlib.sha256(result.content).hexdigest()
        mine = (objects.c.target == target) & (objects.c.sop_instance_uid == result.sop_instance_uid)
        before = connection.execute(select(objects).where(mine).with_for_update()).first()
        if before is not None and before.sha256 != digest:
            raise ResultConflict("another object was made under the same UID before, and is kept")
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
        """Objects to send to a target in one go, more than one while they are small. Raises StoreUnavailable."""
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

    def delivered(self, deliveries: Iterable[Delivery]) -> None:
        """The target has these objects: forget their bytes, and close the images whose last result it was."""
        with self._database.writing() as connection:
            ended = [item.claim.id for item in deliveries if self._queue.settle(connection, item.claim, "delivered")]
            connection.execute(delete(contents).where(contents.c.id.in_(ended)))
            affected = select(results.c.instance_id).where(results.c.object_id.in_(ended))
            close_finished(connection, self._clock(), list(connection.execute(affected).scalars()))

    def fail(self, delivery: Delivery, problem: Problem) -> str | None:
        """Try again later or give up; the bytes stay. Returns the new state."""
        with self._database.writing() as connection:
            return self._queue.fail(connection, delivery.claim, problem)


def close_finished(connection: Connection, now: float, instance_ids: Sequence[str] | None = None) -> None:
    """End analysed images whose results are all delivered or discarded.

    Two replicas that deliver the last two results at the same time may each see the other's as open: upkeep calls this
    for all images.
    """
    owed = exists().where(
        results.c.instance_id == instances.c.id, objects.c.id == results.c.object_id, objects.c.state.not_in(SETTLED)
    )
    finished = update(instances).where(instances.c.state == "analysed", ~owed)
    if instance_ids is not None:
        finished = finished.where(instances.c.id.in_(instance_ids))
    connection.execute(finished.values(state="delivered", ended_at=now))
