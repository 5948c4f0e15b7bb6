"""Whether the service should be sent work, and how much of it is let in at once."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from time import monotonic

from app.errors import NotReady, QueueFull
from app.telemetry import Metrics, Stopwatch


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
    """The phase of the process and the number of image requests in flight. Used on the event loop only."""

    def __init__(self, max_in_flight: int, metrics: Metrics) -> None:
        self.phase = Phase.STARTING
        self._metrics = metrics
        self._free = max_in_flight
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
    def admit(self, timeout_s: float) -> Generator[Job]:
        """Hold a place for one image request, from before its body is read until its answer is made.

        Raises NotReady or QueueFull at once; nothing waits here.
        """
        if self.phase is Phase.STARTING:
            raise NotReady("the model is being loaded")
        if not self._free:
            raise QueueFull("as many images are worked on as are allowed; try again shortly")
        self._free -= 1
        try:
            yield Job(monotonic() + timeout_s, Stopwatch(self._metrics))
        finally:
            self._free += 1
