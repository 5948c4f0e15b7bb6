"""Work items of the scheduler, and their results."""

from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import Enum

from torch import Tensor

from app.errors import MedPatchNetError


class Lane(Enum):
    """Priority of an item: high for a prediction, low for one of the many chunks of a map."""

    FOREGROUND = "foreground"
    BACKGROUND = "background"


@dataclass(frozen=True)
class Inference:
    """The result of one item: ``logits`` [N, C] float32, and the seconds spent waiting and calculating."""

    logits: Tensor
    queue_seconds: float
    inference_seconds: float


@dataclass(eq=False)
class Item:
    """Queued patches [N, 1, p, p]; ``deadline`` and ``submitted`` are on the ``time.monotonic`` clock."""

    patches: Tensor
    deadline: float
    lane: Lane
    submitted: float
    outcome: "Future[Inference]" = field(default_factory=Future["Inference"])

    def __len__(self) -> int:
        return len(self.patches)

    def fail(self, error: MedPatchNetError) -> None:
        """Set an error as the outcome, unless the caller cancelled."""
        if self.outcome.set_running_or_notify_cancel():
            self.outcome.set_exception(error)
