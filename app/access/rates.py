"""A token bucket per client: an average number of requests per second, with a burst."""

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
    """Buckets by client name, for the ``_MOST_CLIENTS`` most recent ones. Not thread-safe."""

    def __init__(self, per_second: float, burst: int, clock: Callable[[], float] = monotonic) -> None:
        """``per_second``: 0 means no limit. ``burst``: number of requests that can arrive at once."""
        self._per_second = per_second
        self._burst = burst
        self._clock = clock
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def spend(self, client: str) -> None:
        """Take one token of a client. Raises RateLimited with the seconds until the next token."""
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
                f"the limit is {self._per_second:g} requests per second, {self._burst} at once",
                retry_after=max(1, ceil((1 - bucket.tokens) / self._per_second)),
            )
        bucket.tokens -= 1
