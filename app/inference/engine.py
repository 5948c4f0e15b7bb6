"""The engine interface of the scheduler, and its implementation in torch."""

from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from app.inference.folding import folded

Precision = Literal["float32", "bfloat16", "float16"]

DTYPES: dict[Precision, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


class Engine(Protocol):
    """Runs a model. ``patch_logits`` runs on one thread at a time and can raise any exception."""

    @property
    def device(self) -> str:
        """The type of its device, ``cpu`` or ``cuda``."""
        ...

    @property
    def precision(self) -> Precision:
        """Arithmetic of the model."""
        ...

    def patch_logits(self, patches: Tensor) -> Tensor:
        """[N, 1, p, p] float32 in [0, 1] on the CPU → [N, C] float32 logits on the CPU."""
        ...


def placed(backbone: nn.Module, device: torch.device, precision: Precision) -> nn.Module:
    """Copy a backbone for an engine: batch norms folded (in float32), channels last, on its device.

    On CUDA, sets float32 to IEEE float32 for the whole process: cuDNN would use TF32 for convolutions.
    """
    if device.type == "cuda":
        torch.backends.cudnn.conv.fp32_precision = "ieee"  # pyright: ignore[reportAttributeAccessIssue]
        torch.backends.cuda.matmul.fp32_precision = "ieee"
    module = folded(backbone).to(memory_format=torch.channels_last)
    return module.to(device=device, dtype=DTYPES[precision]).requires_grad_(requires_grad=False)


class TorchEngine:
    """A backbone in plain torch on one device."""

    def __init__(self, backbone: nn.Module, device: str, precision: Precision = "float32") -> None:
        """Copy the backbone to ``device``. It runs on torch's CPU threads, whose number is that of the process."""
        self.precision: Precision = precision
        self._device = torch.device(device)
        self._backbone = placed(backbone, self._device, precision)

    @property
    def device(self) -> str:
        """The type of its device."""
        return self._device.type

    @torch.inference_mode()
    def patch_logits(self, patches: Tensor) -> Tensor:
        """[N, 1, p, p] → [N, C], see ``Engine``."""
        on_device = patches.to(self._device, DTYPES[self.precision], non_blocking=True)
        logits: Tensor = self._backbone(on_device.contiguous(memory_format=torch.channels_last))
        return logits.float().cpu()
