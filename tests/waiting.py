"""Waiting for another thread, process or server."""

from collections.abc import Callable
from time import monotonic, sleep
from typing import TypeVar

import pytest

T = TypeVar("T")


def eventually(condition: Callable[[], T], timeout_s: float = 300.0, every_s: float = 0.05) -> T:
    """The condition's value as soon as it is true; the test fails if it is still false after ``timeout_s``."""
    deadline = monotonic() + timeout_s
    while not (found := condition()):
        if monotonic() >= deadline:
            pytest.fail(f"still false after {timeout_s:g} s")
        sleep(every_s)
    return found
