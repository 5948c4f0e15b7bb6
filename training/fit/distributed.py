"""Training in several processes, as torchrun starts them. Without torchrun there is one process and nothing to do."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import distributed


@dataclass(frozen=True)
class World:
    """Which of how many processes this is, and the device it works on."""

    rank: int = 0
    size: int = 1
    device: str = "cpu"

    @property
    def leads(self) -> bool:
        """Whether this process writes files and measures quality: exactly one does."""
        return self.rank == 0

    @property
    def share(self) -> slice:
        """Which of a batch's images are this process's: every ``size``-th, from ``rank`` on."""
        return slice(self.rank, None, self.size)

    def total(self, value: float) -> float:
        """The sum of a number over all processes."""
        if self.size == 1:
            return value
        summed = torch.tensor(value, dtype=torch.float64, device=self.device)
        distributed.all_reduce(summed)
        return float(summed)


@contextmanager
def joined(device: str) -> Generator[World]:
    """The world that torchrun describes in the environment, left at the end; ``device`` is cpu or cuda."""
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
