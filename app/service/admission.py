"""Whether the service should be sent work, and how much of it is let in at once."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from math import inf
from time import monotonic

from app.errors import NotReady, QueueFull
from app.telemetry import Metrics, Stopwatch

_ALWAYS_ADMITTED = 2  # so few are let in however slow the last ones were, or nobody would learn that it is over
_WEIGHT_OF_THE_LAST = 0.1


class Phase(Enum):
    """Phases of a process, in order. A draining one is unready, but still answers what reaches it."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"


@dataclass(frozen=True)
class Job:
    """One admitted image request: its deadline on the ``time.monotonic`` clock, and its stopwatch."""

    deadline: float
    watch: Stopwatch


class Lifecycle:
    """The phase of the process and the image requests in flight. Used on the event loop only.

    A request is let in where there is a place, and where it need not wait too long for those before it: their number
    times the pace of the last ones, so that a queue of large films is as short in seconds as one of small ones. The
    pace is what a request takes by how many were there meanwhile (Little's law), whether they were worked on one after
    the other or side by side.
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
        self._seconds_of_all = 0.0  # that requests have spent here until then, each counted
        self._pace_s = 0.0  # what each request in flight adds to the time of one more
        self._checks: list[Callable[[], bool]] = []

    @property
    def is_well(self) -> bool:
        """Whether every part that was put under watch says so."""
        return all(check() for check in self._checks)

    def watch(self, check: Callable[[], bool]) -> None:
        """Have readiness depend on a part; ``check`` must be quick."""
        self._checks.append(check)

    def ready(self) -> None:
        """Weights are loaded and warmed up."""
        self.phase = Phase.READY

    def drain(self) -> None:
        """Ask for no more work. Refusing what still arrives is the server's part: it closes its doors."""
        self.phase = Phase.DRAINING

    @contextmanager
    def admit(self, timeout_s: float, *, is_typical: bool = True) -> Generator[Job]:
        """Hold a place for one image request, from before its body is read until its answer is made.

        ``is_typical``: whether the wait of others may be told by how long it takes; a smooth map would mislead. Raises
        NotReady or QueueFull at once; nothing waits here.
        """
        if self.phase is Phase.STARTING:
            raise NotReady("the model is being loaded")
        if self._in_flight >= self._max_in_flight:
            raise QueueFull("as many images are worked on as are allowed; try again shortly")
        if self._in_flight >= _ALWAYS_ADMITTED and self._in_flight * self._pace_s > self._max_wait_s:
            raise QueueFull("the images before it take too long; try again shortly")
        self._count(1)
        begin, before = self._changed_at, self._seconds_of_all
        job = Job(begin + timeout_s, Stopwatch(self._metrics))
        try:
            yield job
        finally:
            self._count(-1)
        if is_typical and self._changed_at > begin:
            mean_in_flight = (self._seconds_of_all - before) / (self._changed_at - begin)
            pace_s = sum(job.watch.seconds.values()) / mean_in_flight  # without the seconds in which its body came
            self._pace_s += _WEIGHT_OF_THE_LAST * (pace_s - self._pace_s)

    def _count(self, change: int) -> None:
        now = self._clock()
        self._seconds_of_all += self._in_flight * (now - self._changed_at)
        self._changed_at = now
        self._in_flight += change
