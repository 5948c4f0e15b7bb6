"""Models compiled with OpenVINO for many forward passes on a CPU: the same logits in about half the time."""

import torch
from torch import Tensor, nn

from app.patchnet.model import PatchNet
from app.patchnet.openvino import convert, core


def compiled(network: PatchNet) -> PatchNet:
    """A model whose backbone runs in OpenVINO, in float32, without parameters and gradients."""
    return PatchNet(_Compiled(network.backbone, network.patch_size), network.image_size, network.patch_size).eval()


class _Compiled(nn.Module):
    """A backbone [N, 1, p, p] → [N, C], any N."""

    def __init__(self, backbone: nn.Module, patch_size: int) -> None:
        super().__init__()
        model = convert(backbone, patch_size, patches=None)
        self._model = core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def forward(self, patches: Tensor) -> Tensor:
        return torch.from_numpy(self._model(patches.contiguous().numpy())[0].copy())
