"""The OpenVINO engine: the fastest on CPUs, with the same results as torch."""

import os
from concurrent.futures import ThreadPoolExecutor
from copy import copy

import numpy as np
import openvino as ov
import torch
from torch import Tensor

from app.cores import usable_cores
from app.errors import ConfigurationError
from app.inference.engine import Precision
from app.patchnet.openvino import core

_CHUNK_PIXELS = 32 * 64 * 64
_STREAMS = 2
_NICENESS = 5
_HINTS: dict[Precision, tuple[str, ov.Type]] = {
    "float32": ("f32", ov.Type.f32),
    "bfloat16": ("bf16", ov.Type.bf16),
    "float16": ("f16", ov.Type.f16),
}


def chunk_of(patch_size: int) -> int:
    """Number of patches in one inference request: 32 of 64 px, or as many pixels of any other size."""
    return max(1, _CHUNK_PIXELS // patch_size**2)


class OpenVinoEngine:
    """A compiled model of fixed shape [n, 1, p, p]; chunks of n patches run in parallel streams.

    Two streams of 16 to 32 patches were measured to be fastest; smaller chunks are slower, one stream idles cores.
    """

    device = "cpu"

    def __init__(self, model: ov.Model, threads: int = 0, precision: Precision = "float32") -> None:
        """Compile a model of static shape. ``threads`` 0 uses all cores that the process can use.

        Raises ConfigurationError where this CPU lacks the precision: OpenVINO would silently use another.
        """
        threads = threads or usable_cores()
        hint, wanted = _HINTS[precision]
        settings = {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": min(_STREAMS, threads),
            "INFERENCE_PRECISION_HINT": hint,
        }
        compiled = _compile(model, settings)
        if compiled.get_property("INFERENCE_PRECISION_HINT") != wanted:
            raise ConfigurationError(f"this CPU does not support {precision}; set the precision to 'auto'")
        self.precision: Precision = precision
        self._compiled = compiled
        self._chunk = int(compiled.input(0).shape[0])
        self._outputs = int(compiled.output(0).shape[1])
        self._queue = ov.AsyncInferQueue(compiled, min(_STREAMS, threads))

    def sibling(self) -> "OpenVinoEngine":
        """An engine that shares the compiled model and its streams; its chunks use cores left idle by the other."""
        other = copy(self)
        other._queue = ov.AsyncInferQueue(self._compiled, len(self._queue))
        return other

    def patch_logits(self, patches: Tensor) -> Tensor:
        """[N, 1, p, p] float32 → [N, C] float32, see ``Engine``; the last chunk is padded with black patches."""
        count = patches.shape[0]
        pixels = np.ascontiguousarray(patches.numpy())
        logits = np.empty((count, self._outputs), dtype=np.float32)

        def keep(request: ov.InferRequest, begin: int) -> None:
            end = min(begin + self._chunk, count)
            logits[begin:end] = request.get_output_tensor(0).data[: end - begin]

        self._queue.set_callback(keep)
        for begin in range(0, count, self._chunk):
            part = pixels[begin : begin + self._chunk]
            if len(part) < self._chunk:
                part = np.concatenate([part, np.zeros((self._chunk - len(part), *part.shape[1:]), np.float32)])
            self._queue.start_async({0: part}, begin, share_inputs=True)
        self._queue.wait_all()
        return torch.from_numpy(logits)


def _compile(model: ov.Model, settings: dict[str, str | int]) -> ov.CompiledModel:
    """Compile on a thread of higher niceness, which the inference threads inherit: request threads take precedence.

    On Linux the niceness belongs to a thread, see nice(2).
    """
    with ThreadPoolExecutor(1, initializer=os.nice, initargs=(_NICENESS,)) as thread:
        return thread.submit(core().compile_model, model, "CPU", settings).result()
