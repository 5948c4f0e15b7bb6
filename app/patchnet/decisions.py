"""Consistency of the decisions of one radiograph, shared by the service and by what training measures."""

from collections.abc import Iterable

NO_FINDING = "No Finding"
_COMPATIBLE = frozenset({NO_FINDING, "Support Devices"})


def contradicting(positives: Iterable[str]) -> tuple[str, ...]:
    """The positive findings that contradict *No Finding*: all but Support Devices.

    *No Finding* is positive only where its own probability passes and this is empty.
    """
    return tuple(name for name in positives if name not in _COMPATIBLE)
