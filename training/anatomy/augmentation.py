"""Random changes of a radiograph and its masks together, from an explicit generator."""

import math

import torch
from torch import Generator, Tensor
from torch.nn import functional

from app.anatomy.segmenter import CLASSES, MIRRORED
from training.anatomy.recipe import Changes
from training.data.augmentation import blur


class Draw:
    """Random numbers for each image of a batch."""

    def __init__(self, batch: int, generator: Generator) -> None:
        self._batch, self.generator = batch, generator

    def uniform(self, low: float, high: float) -> Tensor:
        """[B], uniform between two values."""
        return low + (high - low) * torch.rand(self._batch, generator=self.generator)

    def ratio(self, low: float, high: float) -> Tensor:
        """[B], uniform in the logarithm."""
        return self.uniform(math.log(low), math.log(high)).exp()

    def chance(self, probability: float) -> Tensor:
        """[B] bool."""
        return torch.rand(self._batch, generator=self.generator) < probability


def change(images: Tensor, classes: Tensor, side: int, config: Changes, generator: Generator) -> tuple[Tensor, Tensor]:
    """Change images [B, 1, H, H] uint8 and their classes [B, H, H].

    Returns [B, 1, S, S] in [0, 1] and the share of every class in every pixel, [B, 4, S, S], for S = ``side``.
    """
    draw = Draw(len(images), generator)
    shown = functional.one_hot(classes.long(), len(CLASSES)).permute(0, 3, 1, 2).float()  # [B, 4, H, H]
    places, mirrored = _places(len(images), side, config, draw)
    moved = functional.grid_sample(images.float() / 255, places, align_corners=False)
    masks = functional.grid_sample(shown, places, align_corners=False)
    masks[mirrored] = masks[mirrored][:, MIRRORED]
    moved = _haze(_tone(moved, config, draw), config, draw)
    moved, masks = _borders(moved, masks, config, draw)
    masks[:, 0] += 1 - masks.sum(dim=1)  # what came from outside the image is background
    moved = blur(moved, draw.chance(config.blur_probability), draw.uniform(1.3, 4))
    spread = draw.uniform(0, config.noise)[:, None, None, None]
    return (moved + spread * torch.randn(moved.shape, generator=generator)).clamp(0, 1), masks


def _places(batch: int, side: int, config: Changes, draw: Draw) -> tuple[Tensor, Tensor]:
    """Where the pixels of the output lie in the input, and which images are mirrored."""
    scale, stretch = draw.ratio(*config.scale), draw.ratio(1 - config.stretch, 1 / (1 - config.stretch))
    angle = draw.uniform(-config.rotation_degrees, config.rotation_degrees) * (math.pi / 180)
    down, right = draw.uniform(-1, 1) * 2 * config.shift, draw.uniform(-1, 1) * 2 * config.shift
    mirrored = draw.chance(config.flip_probability)
    flip = torch.where(mirrored, -1.0, 1.0)
    across = torch.stack((scale * stretch * angle.cos() * flip, -scale * angle.sin(), right), dim=1)
    along = torch.stack((scale * stretch * angle.sin() * flip, scale * angle.cos(), down), dim=1)
    theta = torch.stack((across, along), dim=1)  # [B, 2, 3]
    return functional.affine_grid(theta, [batch, 1, side, side], align_corners=False), mirrored


def _tone(images: Tensor, config: Changes, draw: Draw) -> Tensor:
    def spread(values: Tensor) -> Tensor:
        return values[:, None, None, None]

    curved = images.clamp(0, 1) ** spread(draw.ratio(*config.gamma))
    middle = curved.mean(dim=(2, 3), keepdim=True)
    contrasted = (curved - middle) * spread(draw.ratio(*config.contrast)) + middle
    return (contrasted * spread(draw.ratio(*config.brightness))).clamp(0, 1)


def _haze(images: Tensor, config: Changes, draw: Draw) -> Tensor:
    """A soft bright spot; the masks stay, so that the segmenter learns to complete what an opacity hides."""
    rows, columns = _coordinates(images.shape[-1])
    top, left = draw.uniform(-0.6, 0.6)[:, None, None], draw.uniform(-0.7, 0.7)[:, None, None]
    height, width = draw.uniform(0.1, 0.5)[:, None, None], draw.uniform(0.1, 0.4)[:, None, None]
    distance = ((rows - top) / height) ** 2 + ((columns - left) / width) ** 2  # [B, S, S]
    strength = draw.uniform(0.2, 0.9) * draw.chance(config.haze_probability)
    share = strength[:, None, None] * (-distance).exp()
    level = draw.uniform(0.6, 0.95)[:, None, None]
    return images * (1 - share[:, None]) + (share * level)[:, None]


def _borders(images: Tensor, masks: Tensor, config: Changes, draw: Draw) -> tuple[Tensor, Tensor]:
    """Constant borders of random width on each side, as collimation and padding make; nothing is drawn there."""
    rows, columns = _coordinates(images.shape[-1])
    chosen = draw.chance(config.border_probability).float()
    above, below, left, right = ((1 - chosen * draw.uniform(-0.2, 0.3).clamp(min=0))[:, None, None] for _ in range(4))
    inside = (rows >= -above) & (rows <= below) & (columns >= -left) & (columns <= right)
    level = torch.where(draw.chance(0.8), 0.0, draw.uniform(0, 1))[:, None, None, None]
    kept = inside[:, None].float()
    return images * kept + level * (1 - kept), masks * kept


def _coordinates(side: int) -> tuple[Tensor, Tensor]:
    along = (torch.arange(side) + 0.5) / side * 2 - 1
    return along[None, :, None], along[None, None, :]
