"""The queue of jobs, and their reports. A job is one request to analyse a study."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Row, insert, select

from app.errors import IdempotencyConflict, JobNotFound, SpoolFull
from app.pacs.store.database import Database
from app.pacs.store.inbox import Order, outputs_of
from app.pacs.store.schema import ENDED, instances, jobs, objects, results
from app.pacs.store.work_queue import Claim, Clock, WorkQueue, claim_of, fresh_work, new_id
from app.pacs.values import FoundInstance, Problem

JobState = Literal["waiting", "running", "done", "done_with_problems", "failed"]


@dataclass(frozen=True)
class Analysis:
    """The request: a study of a source, and the objects to create from its images."""

    study_uid: str
    source: str
    order: Order


@dataclass(frozen=True)
class PendingJob:
    """A claimed job; its images are not known yet."""

    claim: Claim
    analysis: Analysis


@dataclass(frozen=True)
class ObjectReport:
    """A result and its state."""

    sop_class_uid: str
    sop_instance_uid: str
    state: str
    problem: Problem | None


@dataclass(frozen=True)
class InstanceReport:
    """An image, its state and its results."""

    sop_instance_uid: str
    state: str
    problem: Problem | None
    objects: tuple[ObjectReport, ...]

    @property
    def has_problem(self) -> bool:
        """Whether the image or one of its results was refused or given up."""
        return self.state in {"refused", "dead"} or any(item.state in {"refused", "dead"} for item in self.objects)

    @property
    def is_open(self) -> bool:
        """Whether work on it continues."""
        return self.state not in ENDED and not any(item.state == "dead" for item in self.objects)


@dataclass(frozen=True)
class JobReport:
    """A job, its images and its results. ``created_at`` is in seconds since the epoch."""

    id: str
    created_at: float
    analysis: Analysis
    is_expanded: bool
    problem: Problem | None
    is_dead: bool
    instances: tuple[InstanceReport, ...]

    @property
    def state(self) -> JobState:
        """The state of the whole job."""
        if self.is_dead:
            return "failed"
        if not self.is_expanded:
            return "waiting"
        if any(item.is_open for item in self.instances):
            return "running"
        return "done_with_problems" if any(item.has_problem for item in self.instances) else "done"


class Jobs:
    """The queue of jobs. Thread-safe."""

    def __init__(self, database: Database, queue: WorkQueue, max_waiting: int, clock: Clock = time.time) -> None:
        """At most ``max_waiting`` jobs wait for the query of their images."""
        self._database = database
        self._queue = queue
        self._max_waiting = max_waiting
        self._clock = clock

    def open(self, owner: str, analysis: Analysis, idempotency_key: str | None = None) -> str:
        """Store a job and return its id. The same key of the same owner gives the same job.

        Raises SpoolFull, StoreUnavailable, and IdempotencyConflict if the key was used for a different analysis.
        """
        if not self._database.has_room:
            raise SpoolFull("the disk of the database is nearly full")
        order = analysis.order
        asked = {
            "study_uid": analysis.study_uid,
            "source": analysis.source,
            "target": order.target,
            "model": order.model,
            "outputs": ",".join(order.outputs),
        }
        with self._database.writing() as connection:
            if idempotency_key is not None:
                same = (jobs.c.owner == owner) & (jobs.c.idempotency_key == idempotency_key)
                before = connection.execute(select(jobs).where(same)).mappings().first()
                if before is not None and all(before[name] == value for name, value in asked.items()):
                    return str(before["id"])
                if before is not None:
                    raise IdempotencyConflict("this Idempotency-Key was used for a different analysis")
            waiting = select(jobs.c.id).where(jobs.c.state == "waiting").limit(self._max_waiting)
            if len(connection.execute(waiting).all()) >= self._max_waiting:
                raise SpoolFull("the maximum number of waiting jobs is reached")
            identity = new_id()
            connection.execute(
                insert(jobs).values(
                    id=identity, owner=owner, idempotency_key=idempotency_key, **asked, **fresh_work(self._clock())
                )
            )
        return identity

    def claim(self, limit: int) -> list[PendingJob]:
        """Jobs whose images have to be queried. Raises StoreUnavailable."""
        with self._database.writing() as connection:
            return [
                PendingJob(claim_of(row), Analysis(row.study_uid, row.source, _order(row)))
                for row in self._queue.claim(connection, limit)
            ]

    def expand(self, job: PendingJob, found: Sequence[FoundInstance]) -> None:
        """Queue the images of a job. Changes nothing if the lease was lost. Raises StoreUnavailable."""
        order, now = job.analysis.order, self._clock()
        with self._database.writing() as connection:
            if not self._queue.settle(connection, job.claim, "expanded"):
                return
            for item in found:
                connection.execute(
                    insert(instances).values(
                        id=new_id(),
                        job_id=job.claim.id,
                        source=job.analysis.source,
                        model=order.model,
                        outputs=",".join(order.outputs),
                        target=order.target,
                        **vars(item),
                        **fresh_work(now),
                    )
                )

    def fail(self, job: PendingJob, problem: Problem) -> str | None:
        """Schedule a retry, or give up. Returns the new state. Raises StoreUnavailable."""
        with self._database.writing() as connection:
            return self._queue.fail(connection, job.claim, problem)

    def report(self, identity: str, owner: str) -> JobReport:
        """The report of a job of an owner. Raises JobNotFound (also for another owner) and StoreUnavailable."""
        with self._database.reading() as connection:
            mine = (jobs.c.id == identity) & (jobs.c.owner == owner)
            row = connection.execute(select(jobs).where(mine)).first()
            if row is None:
                raise JobNotFound("the job does not exist, or no longer")
            of_job = select(instances).where(instances.c.job_id == identity).order_by(instances.c.sop_instance_uid)
            images = connection.execute(of_job).all()
            made = connection.execute(
                select(results.c.instance_id, objects)
                .join(objects, objects.c.id == results.c.object_id)
                .where(results.c.instance_id.in_(select(instances.c.id).where(instances.c.job_id == identity)))
                .order_by(objects.c.sop_instance_uid)
            ).all()
        by_image: dict[str, list[ObjectReport]] = {}
        for item in made:
            by_image.setdefault(item.instance_id, []).append(
                ObjectReport(item.sop_class_uid, item.sop_instance_uid, item.state, _problem(item))
            )
        return JobReport(
            id=row.id,
            created_at=row.created_at,
            analysis=Analysis(row.study_uid, row.source, _order(row)),
            is_expanded=row.state == "expanded",
            problem=_problem(row),
            is_dead=row.state == "dead",
            instances=tuple(
                InstanceReport(image.sop_instance_uid, image.state, _problem(image), tuple(by_image.get(image.id, ())))
                for image in images
            ),
        )


def _order(row: Row[tuple[object, ...]]) -> Order:
    return Order(row.target, outputs_of(row.outputs), row.model)


def _problem(row: Row[tuple[object, ...]]) -> Problem | None:
    return Problem(row.problem, row.detail or "", row.state == "dead") if row.problem else None
