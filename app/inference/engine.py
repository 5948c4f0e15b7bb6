"""What the scheduler needs of a network, and the torch implementation."""

from typing import Protocol

import torch
from torch import Tensor, nn


class Engine(Protocol):
    """A network behind one call. ``patch_logits`` runs on the scheduler's thread only and may raise anything."""

    @property
    def device(self) -> str:
        """Where it runs, ``cpu`` or ``cuda``."""
        ...

    @property
    def precision(self) -> str:
        """Arithmetic of the network, such as ``float32``."""
        ...

    def patch_logits(self, patches: Tensor) -> Tensor:
        """[N, 1, p, p] float32 in [0, 1] on the CPU → [N, C] float32 logits on the CPU."""
        ...


class TorchEngine:
    """A backbone in torch, float32, on one device."""

    precision = "float32"

    def __init__(self, backbone: nn.Module, device: str, threads: int = 0) -> None:
        """Move the backbone to ``device``. ``threads`` > 0 sets torch's CPU threads, for the whole process."""
        if threads:
            torch.set_num_threads(threads)
        self._device = torch.device(device)
        self._backbone: nn.Module = backbone.eval().to(memory_format=torch.channels_last).to(self._device)

    @property
    def device(self) -> str:
        """Where it runs."""
        return self._device.type

    @torch.inference_mode()
    def patch_logits(self, patches: Tensor) -> Tensor:
        """[N, 1, p, p] → [N, C], see ``Engine``."""
        on_device = patches.to(self._device, non_blocking=True).contiguous(memory_format=torch.channels_last)
        logits: Tensor = self._backbone(on_device)
        return logits.float().cpu()
