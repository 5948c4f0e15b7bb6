"""A clock that a test passes to the code under test and moves by hand."""


class Clock:
    """Returns ``now`` when called; only the test changes it."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now
