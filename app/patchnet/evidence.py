"""Evidence in the plain grid: sums for and against a finding, and the decision without some patches.

All functions are arithmetic on patch logits [P², C] of one image; the model is not run again.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

RemovalRule = Literal["drop", "neutral"]
"""``drop``: the mean over the remaining patches. ``neutral``: a removed patch has logit 0."""


@dataclass(frozen=True)
class EvidenceSummary:
    """Sums of the positive and of the negative patch logits of one finding.

    ``outer_ring_share`` is the fraction of positive evidence in the outermost ring of patches, in [0, 1]; None without
    positive evidence.
    """

    sum_for: float
    sum_against: float
    outer_ring_share: float | None


def remove_patches(patch_logits: Tensor, removed: Tensor, rule: RemovalRule) -> Tensor:
    """Global logits without some patches; exact, by the definition of the mean.

    Args:
        patch_logits: [P², C].
        removed: [P²] bool, True for removed patches.
        rule: see ``RemovalRule``.

    Returns:
        [C] logits.

    Raises:
        ValueError: if ``drop`` leaves no patch.
    """
    kept = ~removed
    total = patch_logits[kept].sum(dim=0)
    if rule == "neutral":
        return total / patch_logits.shape[0]
    remaining = int(kept.sum())
    if remaining == 0:
        raise ValueError("rule 'drop' needs at least one remaining patch")
    return total / remaining


def outer_ring(side: int) -> Tensor:
    """Mask of the outermost ring of a P × P grid: [P²] bool, row-major."""
    ring = torch.ones(side, side, dtype=torch.bool)
    ring[1:-1, 1:-1] = False
    return ring.flatten()


def summarize(patch_logits: Tensor) -> EvidenceSummary:
    """Sum the evidence of one finding, given as [P²] logits."""
    positive = patch_logits.clamp(min=0)
    sum_for = float(positive.sum())
    side = round(patch_logits.shape[0] ** 0.5)
    share = float(positive[outer_ring(side)].sum()) / sum_for if sum_for > 0 else None
    return EvidenceSummary(sum_for, float(patch_logits.clamp(max=0).sum()), share)


def sufficient_set(patch_logits: Tensor, boundary: float, rule: RemovalRule) -> list[int]:
    """The smallest set of patches that alone gives the same decision.

    Args:
        patch_logits: [P²] of one finding.
        boundary: the logit at and above which the decision is positive.
        rule: how the other patches count.

    Returns:
        Row-major indices, strongest first. Under ``neutral`` the set is empty where logit 0 already gives the decision.
        For every size the strongest patches give the most extreme logit, so the first sufficient size is the smallest;
        all patches together are always sufficient.
    """
    order, ordered, positive = _strongest_first(patch_logits, boundary)
    smallest = 1 if rule == "drop" else 0
    for size in range(smallest, len(order)):
        kept_sum = float(ordered[:size].sum())
        logit = kept_sum / (size if rule == "drop" else len(order))
        if (logit >= boundary) is positive:
            return order[:size]
    return order


def flip_set(patch_logits: Tensor, boundary: float, rule: RemovalRule) -> list[int] | None:
    """The smallest set of patches whose removal changes the decision.

    Arguments as for ``sufficient_set``. Returns row-major indices, strongest first, or None where no removal changes
    it. For every size, removing the strongest patches moves the logit furthest, so the first such size is the smallest.
    """
    order, ordered, positive = _strongest_first(patch_logits, boundary)
    largest = len(order) - 1 if rule == "drop" else len(order)
    for size in range(1, largest + 1):
        rest_sum = float(ordered[size:].sum())
        logit = rest_sum / (len(order) - size if rule == "drop" else len(order))
        if (logit >= boundary) is not positive:
            return order[:size]
    return None


def _strongest_first(patch_logits: Tensor, boundary: float) -> tuple[list[int], Tensor, bool]:
    """Patches ordered by their support of the decision: indices, logits (float64), whether the decision is positive."""
    exact = patch_logits.to(torch.float64)
    positive = bool(exact.mean() >= boundary)
    order = torch.argsort(exact, descending=positive, stable=True)
    return [int(index) for index in order], exact[order], positive
