"""What can go wrong in a network call, and what is done about it."""

from collections.abc import Callable

import torch
from torch import Tensor

FAILING_AFTER = 3
PROBE_EVERY_S = 5.0


def run_halved(run: Callable[[Tensor], Tensor], patches: Tensor, on_split: Callable[[], None]) -> Tensor:
    """``run`` on patches [N, …]; where the device's memory does not suffice, on halves of them, down to one patch.

    Returns what ``run`` returns, joined. Raises what ``run`` raises; ``torch.OutOfMemoryError`` only when a single
    patch is too much.
    """
    try:
        return run(patches)
    except torch.OutOfMemoryError:
        if patches.shape[0] <= 1:
            raise
        on_split()
    # Outside the handler: the error's traceback holds what filled the memory.
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    middle = patches.shape[0] // 2
    return torch.cat([run_halved(run, part, on_split) for part in (patches[:middle], patches[middle:])])


class EngineHealth:
    """Counts calls that failed in a row. Failing engines are probed while idle, so that readiness can come back."""

    def __init__(self) -> None:
        self._failed_in_a_row = 0

    @property
    def is_failing(self) -> bool:
        """Whether the last ``FAILING_AFTER`` calls failed."""
        return self._failed_in_a_row >= FAILING_AFTER

    def note(self, *, succeeded: bool) -> None:
        """Count the outcome of one call."""
        self._failed_in_a_row = 0 if succeeded else self._failed_in_a_row + 1
