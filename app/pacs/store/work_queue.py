"""Work queues in tables: claims by lease, retries with exponential backoff, dead letters."""

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import SystemRandom

from sqlalchemy import ColumnElement, Connection, Row, Table, or_, select, update

from app.pacs.store.schema import ENDED
from app.pacs.values import Problem

Clock = Callable[[], float]
"""Seconds since the epoch."""

_MAX_DETAIL_LENGTH = 500


@dataclass(frozen=True)
class RetryPolicy:
    """Exponential backoff: delays double from ``first_s`` to ``longest_s``, until ``give_up_s`` have passed.

    A node that does not answer is paused by the same rule, up to ``node_longest_s``.
    """

    first_s: float
    longest_s: float
    node_longest_s: float
    give_up_s: float
    jitter: Callable[[], float] = field(default=SystemRandom().random)

    def delay(self, failures: int) -> float:
        """Seconds until the next attempt of one piece of work."""
        return self._delay(failures, self.longest_s)

    def pause(self, failures: int) -> float:
        """Seconds until a node that does not answer is tried again."""
        return self._delay(failures, self.node_longest_s)

    def _delay(self, failures: int, longest_s: float) -> float:
        """Half of the delay is random, so that retries do not coincide."""
        return min(longest_s, self.first_s * 2.0 ** min(failures, 30)) * (0.5 + 0.5 * self.jitter())


@dataclass(frozen=True)
class Claim:
    """Work that belongs to this worker until its lease ends."""

    id: str
    lease: str
    failures: int
    failing_since: float | None


class WorkQueue:
    """The queue in one table. All methods run in the transaction of the caller."""

    def __init__(self, table: Table, retry_policy: RetryPolicy, lease_s: float, clock: Clock = time.time) -> None:
        """``lease_s`` must exceed the duration of any attempt; afterwards the work can be claimed again."""
        self._table = table
        self._retry_policy = retry_policy
        self._lease_s = lease_s
        self._clock = clock

    def claim(
        self, connection: Connection, limit: int, *conditions: ColumnElement[bool]
    ) -> Sequence[Row[tuple[object, ...]]]:
        """Lease up to ``limit`` due rows, longest waiting first, and return them with their new ``lease``.

        Workers and replicas can claim concurrently: PostgreSQL skips locked rows, SQLite has one writer at a time. If
        the clock was set back, waiting rows do not wait until it has caught up.
        """
        now, table = self._clock(), self._table
        is_due = _passed(table.c.due_at, now, self._retry_policy.longest_s)
        is_free = or_(table.c.leased_until.is_(None), _passed(table.c.leased_until, now, self._lease_s))
        due = (
            select(table.c.id)
            .where(table.c.state == "waiting", is_due, is_free, *conditions)
            .order_by(table.c.due_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        ids = connection.execute(due).scalars().all()
        if not ids:
            return []
        lease = secrets.token_hex(16)
        connection.execute(
            update(table).where(table.c.id.in_(ids)).values(lease=lease, leased_until=now + self._lease_s)
        )
        return connection.execute(select(table).where(table.c.id.in_(ids)).order_by(table.c.due_at)).all()

    def settle(self, connection: Connection, claim: Claim, state: str, problem: Problem | None = None) -> bool:
        """Move claimed work to another state; returns False and changes nothing if the lease was lost."""
        values: dict[str, object] = {
            "state": state,
            "lease": None,
            "leased_until": None,
            "problem": problem.code if problem else None,
            "detail": problem.detail[:_MAX_DETAIL_LENGTH] if problem else None,
            "ended_at": self._clock() if state in ENDED else None,
        }
        return self._change(connection, claim, values)

    def fail(self, connection: Connection, claim: Claim, problem: Problem) -> str | None:
        """Schedule a retry, or give up; returns the new state, or None if the lease was lost."""
        now = self._clock()
        since = claim.failing_since or now
        if problem.permanent or now - since >= self._retry_policy.give_up_s:
            return "dead" if self.settle(connection, claim, "dead", problem) else None
        values: dict[str, object] = {
            "due_at": now + self._retry_policy.delay(claim.failures),
            "failures": claim.failures + 1,
            "failing_since": since,
            "lease": None,
            "leased_until": None,
            "problem": problem.code,
            "detail": problem.detail[:_MAX_DETAIL_LENGTH],
        }
        return "waiting" if self._change(connection, claim, values) else None

    def release(self, connection: Connection, claim: Claim) -> None:
        """Return claimed work to the queue without counting a failure."""
        self._change(connection, claim, {"lease": None, "leased_until": None})

    def release_all(self, connection: Connection) -> None:
        """Release all leases; only valid while no other process uses this database."""
        connection.execute(update(self._table).values(lease=None, leased_until=None))

    def retry(self, connection: Connection, ids: Sequence[str] | None) -> int:
        """Requeue dead work (None: all); returns the number of rows."""
        condition = self._table.c.state == "dead"
        if ids is not None:
            condition &= self._table.c.id.in_(ids)
        now = self._clock()
        fresh = {"state": "waiting", "due_at": now, "failures": 0, "failing_since": None, "ended_at": None}
        return connection.execute(update(self._table).where(condition).values(**fresh)).rowcount

    def _change(self, connection: Connection, claim: Claim, values: dict[str, object]) -> bool:
        mine = (self._table.c.id == claim.id) & (self._table.c.lease == claim.lease)
        return bool(connection.execute(update(self._table).where(mine).values(**values)).rowcount)


def _passed(moment: ColumnElement[float], now: float, longest_s: float) -> ColumnElement[bool]:
    """Whether a moment has passed, or lies so far ahead that the clock that set it was wrong.

    No delay exceeds ``longest_s``; the same again is allowed for clock differences between replicas.
    """
    return or_(moment <= now, moment > now + 2 * longest_s)


def fresh_work(now: float) -> dict[str, object]:
    """Column values of new work that is due now."""
    return {"state": "waiting", "created_at": now, "due_at": now, "failures": 0}


def new_id() -> str:
    """A random, unguessable id."""
    return secrets.token_hex(16)


def claim_of(row: Row[tuple[object, ...]]) -> Claim:
    """The claim on a row from ``WorkQueue.claim``."""
    return Claim(row.id, row.lease, row.failures, row.failing_since)
