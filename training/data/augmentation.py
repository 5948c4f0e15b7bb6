"""Random changes of training images, for whole batches, from an explicit generator.

Several processes can share a batch: each draws for the whole batch and takes its ``share``, so that the changes do not
depend on the number of processes.
"""

import math

import torch
from torch import Generator, Tensor
from torch.nn import functional

from training.recipe import Augmentation

WHOLE = slice(None)


def augment(
    images: Tensor,
    config: Augmentation,
    generator: Generator,
    whole: int | None = None,
    share: slice = WHOLE,
    sharp: Tensor | None = None,
) -> Tensor:
    """Random square crop, rotation, brightness, blur and flip, drawn for each image.

    [B, 1, S, S] float in [0, 1] → the same shape and range; pixels from outside the image are 0. ``images`` are the
    ``share`` of a batch of ``whole`` images; only ``sharp`` ones, [B] bool, can be blurred, all by default. Source:
    paper, training: crop of 50-100 % of the area, ±5°, brightness 0.7-1.3.
    """
    batch = whole or len(images)

    def draw(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(batch, generator=generator)[share]

    side = draw(*config.area).sqrt()  # of the crop, as a share of the image's
    angle = draw(-config.rotation_degrees, config.rotation_degrees) * (math.pi / 180)
    down, right = draw(-1, 1) * (1 - side), draw(-1, 1) * (1 - side)
    flip = torch.where(draw(0, 1) < config.flip_probability, -1.0, 1.0)
    cosine, sine = side * angle.cos(), side * angle.sin()
    # Rows of the affine matrix that maps output to input coordinates, x first, both in [-1, 1].
    across = torch.stack((cosine * flip, -sine, right), dim=1)
    along = torch.stack((sine * flip, cosine, down), dim=1)
    theta = torch.stack((across, along), dim=1).to(images.device)  # [B, 2, 3]
    places = functional.affine_grid(theta, list(images.shape), align_corners=False)
    moved = functional.grid_sample(images, places, align_corners=False)
    bright = moved * draw(*config.brightness).to(images.device)[:, None, None, None]
    chosen, factor = draw(0, 1) < config.blur_probability, draw(2, 8)
    return blur(bright.clamp(0, 1), chosen if sharp is None else chosen & sharp, factor)


def blur(images: Tensor, chosen: Tensor, factor: Tensor) -> Tensor:
    """Remove fine detail from the ``chosen`` images [B] bool: shrink them by ``factor`` [B], then enlarge them."""
    blurred = images.clone()
    for index in chosen.nonzero().flatten().tolist():
        size = round(images.shape[-1] / float(factor[index]))
        small = functional.interpolate(images[index : index + 1], (size, size), mode="bilinear", antialias=True)
        blurred[index] = functional.interpolate(small, images.shape[-2:], mode="bilinear")[0]
    return blurred


def choose_patches(
    patches: Tensor, kept_share: float, generator: Generator, whole: int | None = None, share: slice = WHOLE
) -> Tensor:
    """A random subset of each image's patches: [B, P², 1, p, p] → [B, K, 1, p, p], K = round(kept_share · P²), ≥ 1.

    ``patches`` are the ``share`` of a batch of ``whole`` images.
    """
    images, count = patches.shape[:2]
    kept = max(1, round(kept_share * count))
    if kept == count:
        return patches
    order = torch.rand(whole or images, count, generator=generator)[share].argsort(dim=1)[:, :kept].to(patches.device)
    return patches[torch.arange(images, device=patches.device)[:, None], order]
