"""Depthwise convolutions as matrix products: the same values and gradients, under the same names."""

import pytest
import torch
from timm.layers import Conv2dSame
from torch import nn

from app.patchnet.backbones import build
from training.fit.depthwise import DepthwiseProduct, as_matrix_products

CHANNELS = 6


def depthwise(side: int, stride: int, *, bias: bool = False) -> nn.Conv2d:
    padding = {"padding": side // 2} if stride == 1 else {}
    kind = nn.Conv2d if stride == 1 else Conv2dSame
    return kind(CHANNELS, CHANNELS, side, stride, groups=CHANNELS, bias=bias, **padding)


def value_and_gradients(module: nn.Module, maps: torch.Tensor) -> list[torch.Tensor]:
    maps = maps.clone().requires_grad_()
    value = module(maps)
    gradients = torch.autograd.grad(value.square().sum(), [maps, *module.parameters()])
    return [value.detach(), *gradients]


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 3), (4, 4), (7, 7), (2, 4)])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("side", [3, 5])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_values_and_gradients_are_those_of_the_convolution(size, stride, side, layout):
    convolution = depthwise(side, stride, bias=True)
    product = DepthwiseProduct(convolution)
    maps = torch.randn(3, CHANNELS, *size).contiguous(memory_format=layout)
    expected, found = value_and_gradients(convolution, maps), value_and_gradients(product, maps)
    for one, other in zip(expected, found, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-4)
    assert product(maps).is_contiguous(memory_format=layout)


def test_a_network_keeps_its_weights_and_their_names():
    network = build("efficientnet_lite0", 3).eval()
    images, names = torch.rand(2, 1, 64, 64), list(network.state_dict())
    with torch.inference_mode():
        before = network(images)
        as_matrix_products(network)
        assert torch.allclose(network(images), before, rtol=1e-4, atol=1e-4)
    assert list(network.state_dict()) == names
    assert sum(isinstance(module, DepthwiseProduct) for module in network.modules()) == 16


@pytest.mark.parametrize(
    "other",
    [
        nn.Conv2d(4, 4, 3, padding=1),
        nn.Conv2d(4, 8, 3, padding=1, groups=4),
        nn.Conv2d(4, 4, 3, groups=4),
        nn.Conv2d(4, 4, 3, stride=2, padding=1, groups=4),
        nn.Conv2d(4, 4, 3, padding=2, dilation=2, groups=4),
    ],
)
def test_other_convolutions_stay(other):
    network = nn.Sequential(other)
    as_matrix_products(network)
    assert network[0] is other
