"""The queue of jobs, and their reports. A job is one request to analyse a study."""

import time
from collections import defaultdict
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection, Row, insert, select

from app.errors import IdempotencyConflict, JobNotFound, SpoolFull
from app.pacs.store.database import Database
from app.pacs.store.inbox import Order, outputs_of
from app.pacs.store.schema import ENDED, failed_outputs, instances, jobs, objects, results
from app.pacs.store.work_queue import Claim, Clock, WorkQueue, claim_of, fresh_work, new_id
from app.pacs.values import FailedOutput, FoundStudy, Problem

JobState = Literal["waiting", "running", "done", "done_with_problems", "not_found", "failed"]


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
    failed: tuple[FailedOutput, ...]

    @property
    def has_problem(self) -> bool:
        """Whether the image or one of its results was refused or given up."""
        return self.state in {"refused", "dead"} or any(item.state in {"refused", "dead"} for item in self.objects)

    @property
    def is_open(self) -> bool:
        """Whether work on it continues."""
        states = {item.state for item in self.objects}
        return "waiting" in states or (self.state not in ENDED and "dead" not in states)


@dataclass(frozen=True)
class JobReport:
    """A job, its images and its results. ``created_at`` is in seconds since the epoch.

    ``progress`` is the state of the job itself: the query of its images. Its problem can be one that does not end it.
    """

    id: str
    created_at: float
    analysis: Analysis
    progress: str
    problem: Problem | None
    instances: tuple[InstanceReport, ...]

    @property
    def state(self) -> JobState:
        """The state of the whole job."""
        if self.progress != "expanded":
            ended: dict[str, JobState] = {"dead": "failed", "refused": "not_found"}
            return ended.get(self.progress, "waiting")
        if any(item.is_open for item in self.instances):
            return "running"
        has_problem = self.problem is not None or any(item.has_problem for item in self.instances)
        return "done_with_problems" if has_problem else "done"


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

    def expand(self, job: PendingJob, found: FoundStudy) -> None:
        """Queue the images of a job. Changes nothing if the lease was lost. Raises StoreUnavailable."""
        order, now = job.analysis.order, self._clock()
        with self._database.writing() as connection:
            if not self._queue.settle(connection, job.claim, "expanded", found.skipped):
                return
            for item in found.instances:
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

    def refuse(self, job: PendingJob, problem: Problem) -> None:
        """Close a job whose study does not exist. Raises StoreUnavailable."""
        with self._database.writing() as connection:
            self._queue.settle(connection, job.claim, "refused", problem)

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
            reports = _instance_reports(connection, identity)
        analysis = Analysis(row.study_uid, row.source, _order(row))
        return JobReport(row.id, row.created_at, analysis, row.state, _problem(row), reports)


def _instance_reports(connection: Connection, job_id: str) -> tuple[InstanceReport, ...]:
    of_job = select(instances).where(instances.c.job_id == job_id).order_by(instances.c.sop_instance_uid)
    made: dict[str, list[ObjectReport]] = defaultdict(list)
    for item in connection.execute(
        select(results.c.instance_id, objects)
        .join(objects, objects.c.id == results.c.object_id)
        .join(instances, instances.c.id == results.c.instance_id)
        .where(instances.c.job_id == job_id)
        .order_by(objects.c.sop_instance_uid)
    ):
        report = ObjectReport(item.sop_class_uid, item.sop_instance_uid, item.state, _problem(item))
        made[item.instance_id].append(report)
    failed: dict[str, list[FailedOutput]] = defaultdict(list)
    for item in connection.execute(
        select(failed_outputs)
        .join(instances, instances.c.id == failed_outputs.c.instance_id)
        .where(instances.c.job_id == job_id)
        .order_by(failed_outputs.c.kind)
    ):
        problem = Problem(item.problem, item.detail, permanent=True)
        failed[item.instance_id].append(FailedOutput(item.kind, problem))
    return tuple(
        InstanceReport(row.sop_instance_uid, row.state, _problem(row), tuple(made[row.id]), tuple(failed[row.id]))
        for row in connection.execute(of_job)
    )


def _order(row: Row[tuple[object, ...]]) -> Order:
    return Order(row.target, outputs_of(row.outputs), row.model)


def _problem(row: Row[tuple[object, ...]]) -> Problem | None:
    return Problem(row.problem, row.detail or "", row.state == "dead") if row.problem else None
