"""The store: its queues, and the operations on all of them."""

import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, get_args

from sqlalchemy import Table, delete, exists, func, select, update

from app.pacs.store.database import Database
from app.pacs.store.inbox import Inbox
from app.pacs.store.jobs import Jobs
from app.pacs.store.outbox import SETTLED, Outbox, close_finished
from app.pacs.store.schema import ENDED, contents, instances, jobs, objects, results
from app.pacs.store.work_queue import Clock, RetryPolicy, WorkQueue
from app.settings import Settings

LEASE_S = 600.0
"""Seconds for which claimed work belongs to its worker; longer than any attempt takes."""

QueueName = Literal["jobs", "instances", "objects"]
QUEUES: tuple[QueueName, ...] = get_args(QueueName)
_TABLES: dict[QueueName, Table] = {"jobs": jobs, "instances": instances, "objects": objects}


@dataclass(frozen=True)
class DeadLetter:
    """Work that was given up. ``subject`` is the UID of the study or object, which identifies a patient's data."""

    queue: QueueName
    id: str
    node: str
    failures: int
    problem: str
    detail: str
    created_at: float
    subject: str


@dataclass(frozen=True)
class Depths:
    """Numbers of waiting and dead items by queue, and the stored bytes."""

    waiting: dict[QueueName, int]
    dead: dict[QueueName, int]
    spool_bytes: int


class Store:
    """The queues of one database. Thread-safe."""

    def __init__(
        self,
        database: Database,
        *,
        max_bytes: int,
        retry_policy: RetryPolicy,
        max_jobs: int = 1000,
        lease_s: float = LEASE_S,
        clock: Clock = time.time,
    ) -> None:
        self.database = database
        self._clock = clock
        self._queues = {name: WorkQueue(table, retry_policy, lease_s, clock) for name, table in _TABLES.items()}
        self.outbox = Outbox(database, self._queues["objects"], clock)
        self.inbox = Inbox(database, self._queues["instances"], self.outbox, max_bytes, clock)
        self.jobs = Jobs(database, self._queues["jobs"], max_jobs, clock)

    @contextmanager
    def open(self) -> Generator[None]:
        """Open the database and release leases that a killed process left behind. Raises ConfigurationError."""
        with self.database.open():
            if self.database.is_embedded:
                with self.database.writing() as connection:
                    for queue in self._queues.values():
                        queue.release_all(connection)
            yield

    def depths(self) -> Depths:
        """The sizes of all queues. Raises StoreUnavailable."""
        with self.database.reading() as connection:
            count = {
                name: dict(
                    connection.execute(
                        select(table.c.state, func.count())
                        .where(table.c.state.in_(("waiting", "dead")))
                        .group_by(table.c.state)
                    ).all()
                )
                for name, table in _TABLES.items()
            }
            size = connection.execute(select(func.coalesce(func.sum(contents.c.size), 0))).scalar_one()
        return Depths(
            {name: count[name].get("waiting", 0) for name in QUEUES},
            {name: count[name].get("dead", 0) for name in QUEUES},
            int(size),
        )

    def dead_letters(self) -> list[DeadLetter]:
        """All dead letters, oldest first. Raises StoreUnavailable."""
        letters: list[DeadLetter] = []
        with self.database.reading() as connection:
            for name, table in _TABLES.items():
                subject = table.c.study_uid if name == "jobs" else table.c.sop_instance_uid
                node = table.c.target if name == "objects" else table.c.source
                columns = (table.c.id, table.c.failures, table.c.problem, table.c.detail, table.c.created_at)
                dead = select(node.label("node"), subject.label("subject"), *columns).where(table.c.state == "dead")
                letters += [DeadLetter(queue=name, **row) for row in connection.execute(dead).mappings()]
        return sorted(letters, key=lambda letter: letter.created_at)

    def retry(self, ids: Sequence[str] | None = None) -> int:
        """Requeue dead letters (None: all); returns their number. Raises StoreUnavailable."""
        with self.database.writing() as connection:
            return sum(queue.retry(connection, ids) for queue in self._queues.values())

    def discard(self, ids: Sequence[str]) -> int:
        """Close dead letters and delete their bytes; returns their number. Raises StoreUnavailable."""
        with self.database.writing() as connection:
            dead_jobs = delete(jobs).where(jobs.c.state == "dead", jobs.c.id.in_(ids))
            discarded = connection.execute(dead_jobs).rowcount
            for table in (instances, objects):
                dead = (table.c.state == "dead") & table.c.id.in_(ids)
                mine = list(connection.execute(select(table.c.id).where(dead)).scalars())
                connection.execute(delete(contents).where(contents.c.id.in_(mine)))
                ended = update(table).where(table.c.id.in_(mine)).values(state="refused", ended_at=self._clock())
                discarded += connection.execute(ended).rowcount
            close_finished(connection, self._clock())
        return discarded

    def tidy(self, retention_s: float) -> None:
        """Close finished images, and delete rows that ended more than ``retention_s`` ago. Raises StoreUnavailable.

        Dead letters stay until an operator decides. The rows of one instance stay together: while one of them can be
        analysed again, the oldest holds the time of the first analysis. The row of a delivered object stays as long as
        its images: within that time different bytes under its UID are detected.
        """
        now = self._clock()
        ended = tuple(state for state in ENDED if state != "dead")
        with self.database.writing() as connection:
            close_finished(connection, now)
            other = instances.alias()
            is_kept = ~other.c.state.in_(ended) | (other.c.ended_at >= now - retention_s)
            has_kept = exists().where(other.c.sop_instance_uid == instances.c.sop_instance_uid, is_kept)
            old = instances.c.state.in_(ended) & (instances.c.ended_at < now - retention_s)  # before the costlier test
            connection.execute(delete(instances).where(old, ~has_kept))
            has_images = exists().where(instances.c.job_id == jobs.c.id)
            old = jobs.c.state.in_(("expanded", "refused")) & (jobs.c.created_at < now - retention_s)
            connection.execute(delete(jobs).where(old, ~has_images))
            is_known = exists().where(results.c.object_id == objects.c.id)
            connection.execute(delete(objects).where(objects.c.state.in_(SETTLED), ~is_known))


def make_store(settings: Settings) -> Store:
    """The store of the settings, not opened. Raises ConfigurationError."""
    database = Database(settings.database_url, settings.spool_reserve_bytes)
    return Store(database, max_bytes=settings.max_spool_bytes, retry_policy=make_retry_policy(settings))


def make_retry_policy(settings: Settings) -> RetryPolicy:
    """The retry policy of the settings."""
    return RetryPolicy(
        first_s=settings.retry_first_s,
        longest_s=settings.retry_longest_s,
        node_longest_s=settings.retry_node_longest_s,
        give_up_s=settings.retry_give_up_s,
    )
