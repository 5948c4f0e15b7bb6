"""The CUDA engine: one graph for each batch size, captured at the start and replayed for every call.

Without graphs, a model of a hundred layers launches its kernels one by one, and the device idles; a graph launches them
all at once.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from app.inference.buckets import bucket_sizes, parts
from app.inference.engine import DTYPES, Precision, placed

if TYPE_CHECKING:
    from torch.cuda import _POOL_HANDLE  # pyright: ignore[reportPrivateUsage] - what graph_pool_handle() returns

_WARM_UP_CALLS = 3  # before a capture, so that libraries have chosen kernels and allocated workspaces


class CudaEngine:
    """A backbone on one CUDA device, captured for doubling batch sizes; batches in between are padded."""

    device = "cuda"

    def __init__(
        self, backbone: nn.Module, patch_size: int, *, index: int, smallest: int, largest: int, precision: Precision
    ) -> None:
        """Copy the backbone to the device and capture every size.

        Args:
            backbone: [N, 1, p, p] → [N, C].
            patch_size: p, pixels.
            index: which CUDA device.
            smallest: patches of the smallest batch, those of one image.
            largest: the largest batch; batches that exceed the memory are left out.
            precision: arithmetic of the model. float32 is IEEE float32, never TF32.

        Raises:
            RuntimeError: nothing could be captured; ``torch.OutOfMemoryError`` where not even ``smallest`` fits.
        """
        self.precision: Precision = precision
        self._device = torch.device("cuda", index)
        with torch.cuda.device(self._device):
            self._stream = torch.cuda.Stream()
            network = placed(backbone, self._device, precision)
            self._batches = _captured(network, patch_size, bucket_sizes(smallest, largest), precision, self._stream)

    def patch_logits(self, patches: Tensor) -> Tensor:
        """[N, 1, p, p] → [N, C], see ``Engine``."""
        if not len(patches):
            return torch.zeros(0, next(iter(self._batches.values())).findings)
        with torch.cuda.device(self._device), torch.cuda.stream(self._stream), torch.inference_mode():
            return torch.cat(
                [
                    self._batches[part.size].run(patches[part.begin : part.end], self._stream)
                    for part in parts(len(patches), list(self._batches))
                ]
            )


class _Batch:
    """One captured batch size, with page-locked host memory for input and output."""

    def __init__(
        self,
        network: nn.Module,
        shape: Sequence[int],
        precision: Precision,
        stream: torch.cuda.Stream,
        pool: "_POOL_HANDLE",
    ) -> None:
        """Capture the model for ``shape`` [n, 1, p, p]; graphs never run at once, so they share the memory ``pool``."""
        self._sent = torch.zeros(*shape, pin_memory=True)
        self._input = torch.zeros(*shape, device=stream.device)

        def call() -> Tensor:
            cast = self._input.to(DTYPES[precision]).contiguous(memory_format=torch.channels_last)
            return network(cast).float()

        for _ in range(_WARM_UP_CALLS):
            call()
        stream.synchronize()
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, pool=pool, stream=stream, capture_error_mode="thread_local"):
            self._output = call()
        self._received = torch.zeros(*self._output.shape, pin_memory=True)
        self.findings = int(self._output.shape[1])

    def run(self, patches: Tensor, stream: torch.cuda.Stream) -> Tensor:
        """[up to n, 1, p, p] → their logits. The remaining rows hold earlier patches, whose logits are discarded."""
        count = len(patches)
        self._sent[:count].copy_(patches)
        self._input[:count].copy_(self._sent[:count], non_blocking=True)
        self._graph.replay()
        self._received[:count].copy_(self._output[:count], non_blocking=True)
        stream.synchronize()
        return self._received[:count].clone()


def _captured(
    network: nn.Module, patch_size: int, sizes: list[int], precision: Precision, stream: torch.cuda.Stream
) -> dict[int, _Batch]:
    """Capture all batch sizes. The largest comes first, so that the smaller ones reuse its memory pool."""
    batches: dict[int, _Batch] = {}
    pool = torch.cuda.graph_pool_handle()
    with torch.cuda.stream(stream), torch.inference_mode():
        for size in sorted(sizes, reverse=True):
            try:
                batches[size] = _Batch(network, (size, 1, patch_size, patch_size), precision, stream, pool)
            except torch.OutOfMemoryError:
                if size == min(sizes) and not batches:
                    raise
    return batches
