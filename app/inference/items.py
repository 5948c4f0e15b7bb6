"""What waits for the network, and what comes of it."""

from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import Enum

from torch import Tensor

from app.errors import MedPatchNetError


class Lane(Enum):
    """Who waits for the work: a prediction, or one of the many chunks of a map."""

    FOREGROUND = "foreground"
    BACKGROUND = "background"


@dataclass(frozen=True)
class Inference:
    """The outcome of one item: ``logits`` [N, C] float32, and where its time went, in seconds."""

    logits: Tensor
    queue_seconds: float
    inference_seconds: float


@dataclass(eq=False)
class Item:
    """Patches [N, 1, p, p] that wait; ``deadline`` and ``submitted`` are on the ``time.monotonic`` clock."""

    patches: Tensor
    deadline: float
    lane: Lane
    submitted: float
    outcome: "Future[Inference]" = field(default_factory=Future["Inference"])

    def __len__(self) -> int:
        return len(self.patches)

    def fail(self, error: MedPatchNetError) -> None:
        """Answer with an error, unless whoever waited has left."""
        if self.outcome.set_running_or_notify_cancel():
            self.outcome.set_exception(error)
