"""Queues of work in tables: claimed by lease, tried again with growing pauses, given up in the end."""

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

_DETAIL_LENGTH = 500


@dataclass(frozen=True)
class RetryPolicy:
    """How long and how often to try: pauses double from ``first_s`` to ``longest_s``, up to ``give_up_s`` in all."""

    first_s: float = 1.0
    longest_s: float = 300.0
    give_up_s: float = 3 * 86400.0
    jitter: Callable[[], float] = field(default=SystemRandom().random)

    def pause(self, failures: int) -> float:
        """Seconds until the next try, after so many; half of it is chance, so that not all come back at once."""
        longest = min(self.longest_s, self.first_s * 2.0 ** min(failures, 30))
        return longest * (0.5 + 0.5 * self.jitter())


@dataclass(frozen=True)
class Claim:
    """A piece of work that is this worker's alone until its lease ends."""

    id: str
    lease: str
    failures: int
    failing_since: float | None


class WorkQueue:
    """What waits in one table. All methods are part of the caller's transaction."""

    def __init__(self, table: Table, retry_policy: RetryPolicy, lease_s: float, clock: Clock = time.time) -> None:
        """``lease_s`` is longer than any try may take; work whose worker is gone is free again after it."""
        self._table = table
        self._retry_policy = retry_policy
        self._lease_s = lease_s
        self._clock = clock

    def claim(
        self, connection: Connection, limit: int, *conditions: ColumnElement[bool]
    ) -> Sequence[Row[tuple[object, ...]]]:
        """Up to ``limit`` rows that are due, longest waiting first, now leased; ``lease`` of each row is the new one.

        Several workers and replicas may claim at once: PostgreSQL skips what another is about to take, SQLite has one
        writer at a time. Where the clock was set back, what waits does not wait until it has caught up.
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
        """Move claimed work to another state; False where the lease was lost, and nothing is changed."""
        values: dict[str, object] = {
            "state": state,
            "lease": None,
            "leased_until": None,
            "problem": problem.code if problem else None,
            "detail": problem.detail[:_DETAIL_LENGTH] if problem else None,
            "ended_at": self._clock() if state in ENDED else None,
        }
        return self._change(connection, claim, values)

    def fail(self, connection: Connection, claim: Claim, problem: Problem) -> str | None:
        """Try again later, or give up; the new state, or None where the lease was lost."""
        now = self._clock()
        since = claim.failing_since or now
        if problem.permanent or now - since >= self._retry_policy.give_up_s:
            return "dead" if self.settle(connection, claim, "dead", problem) else None
        values: dict[str, object] = {
            "due_at": now + self._retry_policy.pause(claim.failures),
            "failures": claim.failures + 1,
            "failing_since": since,
            "lease": None,
            "leased_until": None,
            "problem": problem.code,
            "detail": problem.detail[:_DETAIL_LENGTH],
        }
        return "waiting" if self._change(connection, claim, values) else None

    def release(self, connection: Connection, claim: Claim) -> None:
        """Give claimed work back as it was: nothing was wrong with it."""
        self._change(connection, claim, {"lease": None, "leased_until": None})

    def release_all(self, connection: Connection) -> None:
        """Free what a process left behind that is gone; only where no other process works on this database."""
        connection.execute(update(self._table).values(lease=None, leased_until=None))

    def retry(self, connection: Connection, ids: Sequence[str] | None) -> int:
        """Take dead work up again, all of it for None; how much there was."""
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
    """Whether a moment has come; or lies so far ahead that the clock which set it was ahead of this one.

    Nothing is put off by more than ``longest_s``. As much again is left for the clocks of several replicas.
    """
    return or_(moment <= now, moment > now + 2 * longest_s)


def fresh_work(now: float) -> dict[str, object]:
    """The columns of new work that is due."""
    return {"state": "waiting", "created_at": now, "due_at": now, "failures": 0}


def new_id() -> str:
    """A random id that cannot be guessed."""
    return secrets.token_hex(16)


def claim_of(row: Row[tuple[object, ...]]) -> Claim:
    """The claim on a row that ``WorkQueue.claim`` returned."""
    return Claim(row.id, row.lease, row.failures, row.failing_since)
