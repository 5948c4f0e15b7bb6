"""Networks for many forward passes on a CPU: the same answers through OpenVINO, in about half of the time."""

import logging

import openvino as ov
import torch
from openvino.frontend import FrontEndManager
from openvino.frontend.pytorch.fx_decoder import TorchFXPythonDecoder
from torch import Tensor, nn

from app.patchnet.network import PatchNet

_LEAST_IMAGES = 2  # an example of one would fix the number of images


def compiled(network: PatchNet) -> PatchNet:
    """A network whose backbone runs in OpenVINO, in float32; it has no parameters and no gradients."""
    return PatchNet(_Compiled(network.backbone, network.patch_size), network.image_size, network.patch_size).eval()


class _Compiled(nn.Module):
    """A backbone [N, 1, p, p] → [N, C], any N."""

    def __init__(self, backbone: nn.Module, patch_size: int) -> None:
        super().__init__()
        example = torch.zeros(_LEAST_IMAGES, 1, patch_size, patch_size)
        logging.getLogger().addFilter(_of_interest)
        try:
            with torch.no_grad():
                program = torch.export.export(
                    backbone.eval(), (example,), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},)
                )
                decoder = TorchFXPythonDecoder.from_exported_program(program)
                frontend = FrontEndManager().load_by_framework("pytorch")
                model: ov.Model = frontend.convert(frontend.load(decoder))
        finally:
            logging.getLogger().removeFilter(_of_interest)
        model.reshape([-1, 1, patch_size, patch_size])
        self._model = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def forward(self, patches: Tensor) -> Tensor:
        return torch.from_numpy(self._model(patches.contiguous().numpy())[0].copy())


def _of_interest(record: logging.LogRecord) -> bool:
    """Whether a message is about more than operations that no network here has."""
    return "not found in decomp table" not in record.getMessage()
