"""A token bucket per client: so many requests a second on average, with a burst."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from time import monotonic

from app.errors import RateLimited

_MOST_CLIENTS = 10_000


@dataclass
class _Bucket:
    tokens: float
    filled: float


class RateLimiter:
    """Buckets by client name. Remembers the ``_MOST_CLIENTS`` seen last; used on the event loop only."""

    def __init__(self, per_second: float, burst: int, clock: Callable[[], float] = monotonic) -> None:
        """``per_second`` 0 means no limit; ``burst`` requests may come at once."""
        self._per_second = per_second
        self._burst = burst
        self._clock = clock
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def spend(self, client: str) -> None:
        """Take one token of a client. Raises RateLimited, which says in how many seconds there is one again."""
        if not self._per_second:
            return
        now = self._clock()
        bucket = self._buckets.pop(client, None) or _Bucket(float(self._burst), now)
        bucket.tokens = min(self._burst, bucket.tokens + max(0.0, now - bucket.filled) * self._per_second)
        bucket.filled = now
        self._buckets[client] = bucket
        while len(self._buckets) > _MOST_CLIENTS:
            self._buckets.popitem(last=False)
        if bucket.tokens < 1:
            raise RateLimited(
                f"more than {self._per_second:g} requests a second, {self._burst} at once",
                retry_after=max(1, ceil((1 - bucket.tokens) / self._per_second)),
            )
        bucket.tokens -= 1
