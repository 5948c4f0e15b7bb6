"""The segmenter: a small U-Net for the lungs and the heart, on the first blocks of EfficientNet-Lite0."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from app.patchnet import backbones

BACKBONE = "efficientnet_lite0"
CLASSES = ("background", "left lung", "right lung", "heart")
"""Classes of a pixel, by index. Left and right are those of the patient: the right lung is on the left of the image."""
BACKGROUND, LEFT_LUNG, RIGHT_LUNG, HEART = range(len(CLASSES))
MIRRORED = [BACKGROUND, RIGHT_LUNG, LEFT_LUNG, HEART]
"""The class that each class becomes in a mirrored image."""

_DEPTHS = (16, 24, 40, 80, 112)  # channels after the blocks that are used; the sides are S / 2, 4, 8, 16, 16
_LOWEST = 2  # pixels of the input for each cell of the output


class Segmenter(nn.Module):
    """Classifies cells of 2 × 2 pixels: [N, 1, S, S] in [0, 1] → [N, 4 · (S / 2)²] logits, flat.

    Flat, because the inference engines return one row of values for each image; ``class_map`` gives it its shape back.
    ``S`` is a multiple of 16. Source of the shape: Ronneberger et al., "U-Net", MICCAI 2015.
    """

    def __init__(self, *, pretrained: bool = False) -> None:
        """Build it with random weights, or with an encoder ``pretrained`` on ImageNet. Raises ConfigurationError."""
        super().__init__()
        whole = (backbones.build_pretrained if pretrained else backbones.build)(BACKBONE, 1)
        blocks = whole.get_submodule("blocks")
        if not isinstance(blocks, nn.Sequential):
            raise TypeError(f"the blocks of '{BACKBONE}' are not a sequence")
        self.stem = nn.Sequential(whole.get_submodule("conv_stem"), whole.get_submodule("bn1"))
        self.blocks = nn.ModuleList(list(blocks)[: len(_DEPTHS)])
        self.up8 = _Up(_DEPTHS[4] + _DEPTHS[2], 48)
        self.up4 = _Up(48 + _DEPTHS[1], 32)
        self.up2 = _Up(32 + _DEPTHS[0], 24)
        self.classify = nn.Conv2d(24, len(CLASSES), 1)

    def forward(self, images: Tensor) -> Tensor:
        """See the class."""
        features: list[Tensor] = []
        values = self.stem(images)
        for block in self.blocks:
            values = block(values)
            features.append(values)
        values = self.up8(values, features[2])
        values = self.up4(values, features[1])
        values = self.up2(values, features[0])
        return self.classify(values).flatten(1)


class _Up(nn.Module):
    """Doubles the resolution and joins the encoder's features of that resolution."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.mix = nn.Sequential(nn.Conv2d(channels, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU())

    def forward(self, values: Tensor, skipped: Tensor) -> Tensor:
        larger = functional.interpolate(values, scale_factor=2.0, mode="bilinear", align_corners=False)
        return self.mix(torch.cat((larger, skipped), dim=1))


def class_map(logits: Tensor, image_size: int) -> Tensor:
    """Probabilities of every pixel from the flat logits of ``Segmenter``: [N, 4 · (S / 2)²] → [N, 4, S, S]."""
    cells = logits.reshape(len(logits), len(CLASSES), image_size // _LOWEST, image_size // _LOWEST)
    enlarged = functional.interpolate(cells, (image_size, image_size), mode="bilinear", align_corners=False)
    return enlarged.softmax(dim=1)
