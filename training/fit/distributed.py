"""Training in several processes, as torchrun starts them. Without torchrun there is one process."""

import os
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed


@dataclass(frozen=True)
class World:
    """Rank of this process, number of processes, and the device of this process."""

    rank: int = 0
    size: int = 1
    device: str = "cpu"

    @property
    def leads(self) -> bool:
        """Whether this process writes files and logs: exactly one does."""
        return self.rank == 0

    @property
    def share(self) -> slice:
        """The images of a batch that this process works on: every ``size``-th, from ``rank`` on."""
        return slice(self.rank, None, self.size)

    def total(self, value: float) -> float:
        """The sum of a number over all processes."""
        if self.size == 1:
            return value
        summed = torch.tensor(value, dtype=torch.float64, device=self.device)
        distributed.all_reduce(summed)
        return float(summed)

    def gather(self, values: np.ndarray[Any, Any]) -> list[np.ndarray[Any, Any]]:
        """The arrays of all processes, by rank, in every process."""
        if self.size == 1:
            return [values]
        gathered = [values] * self.size
        distributed.all_gather_object(gathered, values)
        return gathered

    def copy_from_lead(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite tensors of ``device``, in place, with those of the first process."""
        if self.size > 1:
            for tensor in tensors:
                distributed.broadcast(tensor, src=0)


def is_lead_process() -> bool:
    """Whether torchrun started this process as the first one, or did not start it at all."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def joined(device: str) -> Generator[World]:
    """Join the processes that torchrun describes in the environment; ``device`` is cpu or cuda."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield World(device=device)
        return
    if device == "cuda":
        device = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(device)
    distributed.init_process_group("gloo" if device == "cpu" else "nccl")
    try:
        yield World(distributed.get_rank(), size, device)
    finally:
        distributed.destroy_process_group()
