"""The queue of accepted images, until their results are in the outbox."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from app.dicom_objects.content import ReportKind
from app.errors import SpoolFull
from app.pacs.store.database import Database
from app.pacs.store.outbox import Outbox
from app.pacs.store.schema import contents, failed_outputs, instances, results
from app.pacs.store.work_queue import Claim, Clock, WorkQueue, claim_of, fresh_work, new_id
from app.pacs.values import Arrival, FailedOutput, Problem, Result


@dataclass(frozen=True)
class Order:
    """The objects to create from an image, and their target. ``rule`` names the routing rule that decided this."""

    target: str
    outputs: tuple[ReportKind, ...]
    model: str | None = None
    rule: str | None = None


@dataclass(frozen=True)
class PendingInstance:
    """A claimed image. ``order`` is None if a routing rule has to decide; ``job_id`` is None if it came by C-STORE.

    ``first_accepted_at`` (seconds since the epoch) is when the same instance was first accepted: a repeated
    analysis reports it too, so that its objects are the same.
    """

    claim: Claim
    job_id: str | None
    source: str
    study_uid: str | None
    series_uid: str | None
    sop_instance_uid: str
    order: Order | None
    first_accepted_at: float


class Inbox:
    """The queue of images. Thread-safe."""

    def __init__(
        self, database: Database, queue: WorkQueue, outbox: Outbox, max_bytes: int, clock: Clock = time.time
    ) -> None:
        """``max_bytes`` limits the stored bytes of images and results together."""
        self._database = database
        self._queue = queue
        self._outbox = outbox
        self._max_bytes = max_bytes
        self._clock = clock

    def accept(self, arrival: Arrival) -> str:
        """Store an image durably and return its id.

        An identical image from the same source that is still in progress is kept once, under its id.

        Raises SpoolFull and StoreUnavailable; then nothing was stored.
        """
        if not self._database.has_room:
            raise SpoolFull("the disk of the database is nearly full")
        _ = arrival.sha256  # computed before the write lock is taken
        with self._database.writing() as connection:
            if known := _in_progress(connection, arrival):
                return known
            if self._used(connection) + len(arrival.content) > self._max_bytes:
                raise SpoolFull("the spool has reached its maximum size")
            identity = new_id()
            connection.execute(
                insert(instances).values(
                    id=identity,
                    source=arrival.source,
                    sop_class_uid=arrival.sop_class_uid,
                    sop_instance_uid=arrival.sop_instance_uid,
                    sha256=arrival.sha256,
                    **fresh_work(self._clock()),
                )
            )
            connection.execute(insert(contents).values(id=identity, size=len(arrival.content), bytes=arrival.content))
        return identity

    @property
    def is_full(self) -> bool:
        """Whether the spool or the disk is full. Raises StoreUnavailable."""
        with self._database.reading() as connection:
            return not self._database.has_room or self._used(connection) >= self._max_bytes

    def claim(self, limit: int) -> list[PendingInstance]:
        """Images to analyse; none while the spool is full, because results need space too. Raises StoreUnavailable."""
        with self._database.writing() as connection:
            if self._used(connection) > self._max_bytes:
                return []
            return [_pending(connection, row) for row in self._queue.claim(connection, limit)]

    def content(self, pending: PendingInstance) -> bytes | None:
        """The bytes of a received image; None if they have to be fetched. Raises StoreUnavailable."""
        with self._database.reading() as connection:
            return connection.execute(select(contents.c.bytes).where(contents.c.id == pending.claim.id)).scalar()

    def analysed(
        self,
        pending: PendingInstance,
        order: Order,
        study_uid: str,
        made: Sequence[Result],
        failed: Sequence[FailedOutput] = (),
    ) -> None:
        """Put the results of an image into the outbox and delete its bytes, in one transaction.

        With ``failed`` kinds the image becomes a dead letter and keeps its bytes: an operator can retry it, for example
        after an upgrade. Changes nothing if the lease was lost. Raises StoreUnavailable, and ResultConflict if a
        different object with the same UID exists for the target.
        """
        claim = pending.claim
        state = "dead" if failed else "analysed" if made else "delivered"
        with self._database.writing() as connection:
            if not self._queue.settle(connection, claim, state, _summary(failed)):
                return
            connection.execute(
                update(instances)
                .where(instances.c.id == claim.id)
                .values(
                    rule=order.rule,
                    model=order.model,
                    target=order.target,
                    outputs=",".join(order.outputs),
                    study_uid=study_uid,
                )
            )
            for table in (results, failed_outputs):  # of an earlier attempt
                connection.execute(delete(table).where(table.c.instance_id == claim.id))
            for result in made:
                self._outbox.put(connection, claim.id, order.target, result)
            for item in failed:
                connection.execute(insert(failed_outputs).values(instance_id=claim.id, **_columns(item)))
            if not failed:
                _delete_content(connection, claim.id)

    def end(self, pending: PendingInstance, state: str, problem: Problem | None = None) -> None:
        """Close an image without results (``refused``, ``ignored``) and delete its bytes. Raises StoreUnavailable."""
        with self._database.writing() as connection:
            if self._queue.settle(connection, pending.claim, state, problem):
                _delete_content(connection, pending.claim.id)

    def fail(self, pending: PendingInstance, problem: Problem) -> str | None:
        """Schedule a retry, or give up; keeps the bytes. Returns the new state. Raises StoreUnavailable."""
        with self._database.writing() as connection:
            return self._queue.fail(connection, pending.claim, problem)

    def _used(self, connection: Connection) -> int:
        return int(connection.execute(select(func.coalesce(func.sum(contents.c.size), 0))).scalar_one())


def _in_progress(connection: Connection, arrival: Arrival) -> str | None:
    """The id of an identical image that is in progress."""
    same = (
        (instances.c.sha256 == arrival.sha256)
        & (instances.c.source == arrival.source)
        & (instances.c.sop_instance_uid == arrival.sop_instance_uid)
        & instances.c.state.in_(("waiting", "analysed"))
    )
    return connection.execute(select(instances.c.id).where(same).limit(1)).scalar()


def _summary(failed: Sequence[FailedOutput]) -> Problem | None:
    """One problem for all kinds that could not be created."""
    if not failed:
        return None
    detail = "; ".join(f"{item.kind}: {item.problem.detail}" for item in failed)
    return Problem(failed[0].problem.code, detail, permanent=True)


def _columns(item: FailedOutput) -> dict[str, str]:
    return {"kind": item.kind, "problem": item.problem.code, "detail": item.problem.detail}


def _delete_content(connection: Connection, identity: str) -> None:
    connection.execute(delete(contents).where(contents.c.id == identity))


def outputs_of(text: str) -> tuple[ReportKind, ...]:
    """The kinds of objects in a comma-separated column."""
    named = text.split(",")
    return tuple(kind for kind in get_args(ReportKind) if kind in named)


def _pending(connection: Connection, row: Row[tuple[object, ...]]) -> PendingInstance:
    order = None
    if row.target is not None:
        order = Order(row.target, outputs_of(row.outputs or ""), row.model, row.rule)
    same = instances.c.sop_instance_uid == row.sop_instance_uid
    first = connection.execute(select(func.min(instances.c.created_at)).where(same)).scalar_one()
    return PendingInstance(
        claim_of(row), row.job_id, row.source, row.study_uid, row.series_uid, row.sop_instance_uid, order, first
    )
