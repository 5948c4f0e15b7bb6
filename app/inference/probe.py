"""The input on which engines are compared."""

import torch
from torch import Tensor


def probe_patches(patch_size: int) -> Tensor:
    """Four patches of noise and ramps, [4, 1, p, p] in [0, 1], to compare the logits of engines."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(4, 1, patch_size, patch_size, generator=generator)
    patterns = noise * torch.linspace(0, 1, 4)[:, None, None, None] + torch.linspace(0, 0.5, patch_size)
    return patterns.clamp(0, 1)
