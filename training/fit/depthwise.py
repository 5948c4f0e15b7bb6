"""Depthwise convolutions of small feature maps as matrix products, for training on a CPU.

On a CPU, the backward pass of a depthwise convolution costs about ten times as much on a map of 2 × 2 or 4 × 4 as the
same computation as a product with one matrix for each channel. Patches of 64 px have such maps in most of their layers.
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

_LARGEST_MAP = 16  # pixels; beyond, the matrices cost more than the convolution


def as_matrix_products(network: nn.Module) -> None:
    """Replace the depthwise convolutions of ``network``, in place; weights and their names stay the same.

    Only those with "same" padding are replaced, which are all of the EfficientNet families.
    """
    found = [(name, module) for name, module in network.named_modules() if _is_depthwise(module)]
    for name, module in found:
        parent, _, last = name.rpartition(".")
        setattr(network.get_submodule(parent), last, DepthwiseProduct(cast("nn.Conv2d", module)))


class DepthwiseProduct(nn.Module):
    """A depthwise convolution with "same" padding, [N, C, H, W] → [N, C, ⌈H/s⌉, ⌈W/s⌉], for stride s."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.weight, self.bias = convolution.weight, convolution.bias
        self._side, self._stride = convolution.kernel_size[0], convolution.stride[0]
        self._places: dict[int, Tensor] = {}

    def forward(self, maps: Tensor) -> Tensor:
        """Convolve; square maps of at most 16 pixels by matrix products."""
        rows, columns = maps.shape[-2:]
        if rows == columns and rows * columns <= _LARGEST_MAP:
            return self._product(maps, rows)
        (left, right), (top, bottom) = (same_padding(size, self._side, self._stride) for size in (columns, rows))
        if (left, top) == (right, bottom):  # always for stride 1: no copy of the maps is needed
            return functional.conv2d(maps, self.weight, self.bias, self._stride, (top, left), groups=len(self.weight))
        padded = functional.pad(maps, (left, right, top, bottom))
        return functional.conv2d(padded, self.weight, self.bias, self._stride, groups=len(self.weight))

    def _product(self, maps: Tensor, size: int) -> Tensor:
        if size not in self._places:
            self._places[size] = kernel_places(size, self._side, self._stride)
        places = self._places[size].to(maps.device)  # [inputs, outputs]
        kernels = functional.pad(self.weight.flatten(1), (0, 1))  # [C, k² + 1]: the last one is 0
        matrices = kernels[:, places]  # [C, inputs, outputs]
        products = torch.bmm(maps.flatten(2).transpose(0, 1).contiguous(), matrices)  # [C, N, outputs]
        if products.requires_grad:
            products.register_hook(Tensor.contiguous)  # strided gradients would be copied matrix by matrix
        made = -(-size // self._stride)
        layout = torch.channels_last if _is_channels_last(maps) else torch.contiguous_format
        result = products.transpose(0, 1).unflatten(2, (made, made)).contiguous(memory_format=layout)
        return result if self.bias is None else result + self.bias[:, None, None]


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Zeros before and after an axis of ``size``, so that the result has ⌈size/stride⌉ values. Source: TensorFlow."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def kernel_places(size: int, kernel: int, stride: int) -> Tensor:
    """Which element of the kernel joins an input pixel to an output pixel: [size², ⌈size/stride⌉²], k² for none."""
    made = -(-size // stride)
    offset = torch.arange(size)[:, None] - stride * torch.arange(made) + same_padding(size, kernel, stride)[0]
    inside = (offset >= 0) & (offset < kernel)  # [size, made], for rows as for columns
    element = offset[:, None, :, None] * kernel + offset[None, :, None, :]
    both = inside[:, None, :, None] & inside[None, :, None, :]
    return torch.where(both, element, kernel * kernel).reshape(size * size, made * made)


def _is_depthwise(module: nn.Module) -> bool:
    if not isinstance(module, nn.Conv2d) or module.groups != module.in_channels or module.groups == 1:
        return False
    side, stride = module.kernel_size[0], module.stride[0]
    same = type(module).__name__ == "Conv2dSame" or (stride == 1 and module.padding == (side // 2, side // 2))
    return same and module.out_channels == module.groups and module.dilation == (1, 1)


def _is_channels_last(maps: Tensor) -> bool:
    return maps.is_contiguous(memory_format=torch.channels_last)
