"""Conversion of models to OpenVINO, and the single core that compiles them."""

import logging
from functools import cache

import openvino as ov
import torch
from openvino.frontend import FrontEndManager
from openvino.frontend.pytorch.fx_decoder import TorchFXPythonDecoder
from torch import nn

_LEAST = 2  # torch.export would fix the batch size of an example of one patch


@cache
def core() -> ov.Core:
    """OpenVINO's core, a single one for the lifetime of the process.

    Its CPU plugin gives the calling thread a stack for signal handlers. On destruction the core frees that stack but
    leaves it registered: the next signal with a handler, such as SIGTERM, would be a segmentation fault.
    """
    return ov.Core()


def convert(backbone: nn.Module, patch_size: int, patches: int | None) -> ov.Model:
    """Convert a torch module [N, 1, p, p] → [N, C] to a float32 model for N = ``patches``, or for any N if None.

    Raises RuntimeError where torch.export or OpenVINO does not support the module.
    """
    example = torch.zeros(patches or _LEAST, 1, patch_size, patch_size)
    shapes = None if patches else ({0: torch.export.Dim.DYNAMIC},)
    with torch.no_grad(), _quiet():
        program = torch.export.export(backbone.eval(), (example,), dynamic_shapes=shapes)
        decoder = TorchFXPythonDecoder.from_exported_program(program)
        frontend = FrontEndManager().load_by_framework("pytorch")
        model: ov.Model = frontend.convert(frontend.load(decoder))
    model.reshape([patches or -1, 1, patch_size, patch_size])
    return model


class _quiet(logging.Filter):  # noqa: N801 - reads as what it does: with _quiet()
    """Drops log records of the converter about operations that none of the backbones uses."""

    def filter(self, record: logging.LogRecord) -> bool:
        return "not found in decomp table" not in record.getMessage()

    def __enter__(self) -> None:
        logging.getLogger().addFilter(self)

    def __exit__(self, *_: object) -> None:
        logging.getLogger().removeFilter(self)
