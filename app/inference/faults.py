"""Handling of failed engine calls: smaller batches when memory runs out, and the health of an engine."""

from collections.abc import Callable

import torch
from torch import Tensor

FAILING_AFTER = 3
PROBE_EVERY_S = 5.0


def run_halved(run: Callable[[Tensor], Tensor], patches: Tensor, on_split: Callable[[], None]) -> Tensor:
    """Call ``run`` on patches [N, …]; when the device runs out of memory, on halves of them, down to one patch.

    Returns the concatenated results of ``run`` and raises its errors; ``torch.OutOfMemoryError`` only for a single
    patch.
    """
    try:
        return run(patches)
    except torch.OutOfMemoryError:
        if patches.shape[0] <= 1:
            raise
        on_split()
    # Outside the handler: the traceback of the error keeps the tensors alive that filled the memory.
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    middle = patches.shape[0] // 2
    return torch.cat([run_halved(run, part, on_split) for part in (patches[:middle], patches[middle:])])


class EngineHealth:
    """Counts consecutive failed calls. Failing engines are probed while idle, so that readiness can recover."""

    def __init__(self) -> None:
        self._failed_in_a_row = 0

    @property
    def is_failing(self) -> bool:
        """Whether the last ``FAILING_AFTER`` calls failed."""
        return self._failed_in_a_row >= FAILING_AFTER

    def note(self, *, succeeded: bool) -> None:
        """Count the outcome of one call."""
        self._failed_in_a_row = 0 if succeeded else self._failed_in_a_row + 1
