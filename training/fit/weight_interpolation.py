"""Interpolation of the weights before and after fine-tuning, which is often better than either.

Source: Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022 (linear interpolation of weights).
"""

from collections.abc import Sequence
from copy import deepcopy

import torch
from tqdm import tqdm

from app.patchnet.model import PatchNet
from training.data.datasets import FilmDataset
from training.measure.inference import mean_auroc


@torch.no_grad()
def blend(first: PatchNet, last: PatchNet, share: float) -> PatchNet:
    """A model whose floating-point weights lie ``share`` (0…1) of the way from ``first`` to ``last``."""
    blended = deepcopy(last)
    for mixed, origin in zip(blended.state_dict().values(), first.state_dict().values(), strict=True):
        if mixed.is_floating_point():
            mixed.lerp_(origin, 1 - share)
    return blended


def best_blend(
    first: PatchNet, last: PatchNet, shares: Sequence[float], valid: FilmDataset, batch_images: int, device: str
) -> tuple[PatchNet, float]:
    """The blend with the highest mean AUROC on the validation radiographs, and that AUROC; prints every figure."""
    best, best_score = last, -1.0
    for share in shares:
        candidate = blend(first, last, share)
        score = mean_auroc(candidate.to(device), valid, batch_images, device)
        tqdm.write(f"{share:.0%} of the way to the fine-tuned weights: valid mean AUROC {score:.4f}")
        if score > best_score:
            best, best_score = candidate, score
    return best, best_score
