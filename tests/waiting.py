"""Waiting for what another thread, process or server does in its own time."""

from collections.abc import Callable
from time import monotonic, sleep
from typing import TypeVar

import pytest

T = TypeVar("T")


def eventually(condition: Callable[[], T], timeout_s: float = 120.0, every_s: float = 0.05) -> T:
    """What the condition gives once it holds; the test fails where it does not hold in time."""
    deadline = monotonic() + timeout_s
    while not (found := condition()):
        if monotonic() >= deadline:
            pytest.fail(f"it does not hold after {timeout_s:g} s")
        sleep(every_s)
    return found
