"""Readiness of the process, and admission of image requests."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from math import inf
from time import monotonic

from app.errors import NotReady, QueueFull
from app.telemetry import Metrics, Stopwatch

_ALWAYS_ADMITTED = 2  # admitted whatever the estimate is, so that the estimate can recover
_SMOOTHING = 0.1  # weight of the latest request in the estimate


class Phase(Enum):
    """Phases of a process, in order. A draining process is unready, but still answers requests that reach it."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"


@dataclass(frozen=True)
class Admission:
    """One admitted image request: its deadline on the ``time.monotonic`` clock, and its stopwatch."""

    deadline: float
    watch: Stopwatch


class Lifecycle:
    """The phase of the process and its image requests in flight. Not thread-safe: used on the event loop only.

    A request is admitted if fewer than ``max_in_flight`` are in flight and its estimated queueing time is at most
    ``max_wait_s``. The estimate is the number in flight times the time per request. By Little's law, the time per
    request is the duration of a request divided by the mean number in flight meanwhile; this holds for sequential and
    for parallel processing, and it bounds a queue of large radiographs to the same time as one of small ones.
    """

    def __init__(
        self,
        max_in_flight: int,
        metrics: Metrics,
        max_wait_s: float = inf,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.phase = Phase.STARTING
        self._metrics = metrics
        self._max_in_flight, self._max_wait_s = max_in_flight, max_wait_s
        self._clock = clock
        self._in_flight = 0
        self._changed_at = clock()
        self._request_seconds = 0.0  # integral of the number in flight over time, until ``_changed_at``
        self._seconds_per_request = 0.0  # queueing time that each request in flight adds
        self._checks: list[Callable[[], bool]] = []

    @property
    def is_well(self) -> bool:
        """Whether every watched check passes."""
        return all(check() for check in self._checks)

    def watch(self, check: Callable[[], bool]) -> None:
        """Make readiness depend on ``check``, which must be quick."""
        self._checks.append(check)

    def ready(self) -> None:
        """Enter the phase READY: the models are loaded and warmed up."""
        self.phase = Phase.READY

    def drain(self) -> None:
        """Enter the phase DRAINING. The server stops accepting connections; requests that arrive are still admitted."""
        self.phase = Phase.DRAINING

    @contextmanager
    def admit(self, timeout_s: float, *, updates_estimate: bool = True) -> Generator[Admission]:
        """Admit one image request for the duration of the block, which includes reading its body.

        ``updates_estimate``: whether its duration updates the estimate; smooth maps are outliers. Raises NotReady or
        QueueFull without waiting.
        """
        if self.phase is Phase.STARTING:
            raise NotReady("the model is being loaded")
        if self._in_flight >= self._max_in_flight:
            raise QueueFull("too many images are being processed; try again shortly")
        if self._in_flight >= _ALWAYS_ADMITTED and self._in_flight * self._seconds_per_request > self._max_wait_s:
            raise QueueFull("the estimated queueing time is over the limit; try again shortly")
        self._count(1)
        begin, before = self._changed_at, self._request_seconds
        admission = Admission(begin + timeout_s, Stopwatch(self._metrics))
        try:
            yield admission
        finally:
            self._count(-1)
        if updates_estimate and self._changed_at > begin:
            mean_in_flight = (self._request_seconds - before) / (self._changed_at - begin)
            measured = sum(admission.watch.seconds.values()) / mean_in_flight  # without the transfer of its body
            self._seconds_per_request += _SMOOTHING * (measured - self._seconds_per_request)

    def _count(self, change: int) -> None:
        now = self._clock()
        self._request_seconds += self._in_flight * (now - self._changed_at)
        self._changed_at = now
        self._in_flight += change
