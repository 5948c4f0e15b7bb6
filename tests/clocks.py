"""Time for tests: a clock that is handed to what is tested, and moved by hand."""


class Clock:
    """A clock that only moves when told."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now
