"""Folded batch norms: the same answers, wherever a norm may be folded and wherever it may not."""

import pytest
import torch
from torch import nn

from app.inference.folding import folded
from app.patchnet.backbones import BACKBONES, build


def unsettled(module):
    """The module with batch norms that are far from doing nothing."""
    generator = torch.Generator().manual_seed(0)
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            for values, low, high in (
                (norm.running_mean, -1, 1),
                (norm.running_var, 0.5, 2),
                (norm.weight.data, 0.5, 1.5),
                (norm.bias.data, -1, 1),
            ):
                values.copy_(low + (high - low) * torch.rand(values.shape, generator=generator))
    return module.eval()


def norms(module):
    return sum(isinstance(part, nn.BatchNorm2d) for part in module.modules())


@pytest.mark.parametrize("name", ["efficientnet_lite0", "efficientnet_v2_s", "convnext_base"])
def test_every_backbone_answers_the_same_without_its_norms(name):
    assert name in BACKBONES
    torch.manual_seed(0)
    backbone = unsettled(build(name, 7))
    before = norms(backbone)
    patches = torch.rand(3, 1, 64, 64)
    with torch.inference_mode():
        expected = backbone(patches)
        torch.testing.assert_close(folded(backbone)(patches), expected, atol=5e-4, rtol=0)
    assert norms(folded(backbone)) == 0
    assert norms(backbone) == before


class TwoReaders(nn.Module):
    """A convolution that something besides its norm reads."""

    def __init__(self):
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3)

    def forward(self, patches):
        maps = self.convolution(patches)
        return self.norm(maps) + maps


class CalledTwice(nn.Module):
    def __init__(self):
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3)

    def forward(self, maps):
        return self.norm(self.convolution(self.norm(self.convolution(maps.expand(-1, 3, -1, -1)))))


class Branching(nn.Module):
    """A forward pass that depends on values, which no graph holds."""

    def __init__(self):
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3)

    def forward(self, patches):
        maps = self.norm(self.convolution(patches))
        return maps if maps.sum() > 0 else -maps


@pytest.mark.parametrize("module", [TwoReaders, CalledTwice, Branching])
def test_a_norm_that_cannot_be_folded_is_kept(module):
    torch.manual_seed(0)
    network = unsettled(module())
    patches = torch.rand(5, 1, 11, 11)
    with torch.inference_mode():
        torch.testing.assert_close(folded(network)(patches), network(patches))
    assert norms(folded(network)) == norms(network)
