"""The token bucket."""

import pytest

from app.access.rates import RateLimiter
from app.errors import RateLimited
from tests.clocks import Clock


def admitted(limiter, client, count):
    passed = 0
    for _ in range(count):
        try:
            limiter.spend(client)
            passed += 1
        except RateLimited:
            pass
    return passed


def test_a_burst_passes_then_the_rate_holds():
    clock = Clock()
    limiter = RateLimiter(2.0, 5, clock)
    assert admitted(limiter, "a", 20) == 5
    clock.now = 1.0
    assert admitted(limiter, "a", 20) == 2
    clock.now = 100.0
    assert admitted(limiter, "a", 20) == 5


def test_clients_do_not_share_a_bucket():
    limiter = RateLimiter(1.0, 1, Clock())
    assert [admitted(limiter, client, 3) for client in "ab"] == [1, 1]


def test_a_refusal_says_when_to_come_back():
    limiter = RateLimiter(0.1, 1, Clock())
    limiter.spend("a")
    with pytest.raises(RateLimited) as refusal:
        limiter.spend("a")
    assert refusal.value.retry_after == 10


def test_a_clock_that_jumps_back_gives_no_credit():
    clock = Clock()
    limiter = RateLimiter(1.0, 1, clock)
    limiter.spend("a")
    clock.now = -1000.0
    assert admitted(limiter, "a", 3) == 0
    clock.now = -999.0
    assert admitted(limiter, "a", 3) == 1


def test_zero_is_no_limit():
    assert admitted(RateLimiter(0.0, 1, Clock()), "a", 100) == 100


def test_memory_is_bounded(monkeypatch):
    monkeypatch.setattr("app.access.rates._MOST_CLIENTS", 10)
    limiter = RateLimiter(1.0, 1, Clock())
    for client in range(1000):
        limiter.spend(str(client))
    assert len(limiter._buckets) == 10
