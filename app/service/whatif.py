"""What-if: the exact decisions without some patches, from patch logits."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from app.errors import InvalidQuery
from app.patchnet.evidence import RemovalRule, remove_patches
from app.service.decisions import scores
from app.service.models import ServedModel
from app.service.results import Score


@dataclass(frozen=True)
class WhatIf:
    """Decisions with all patches and without the removed ones, in label order."""

    model: ServedModel
    rule: RemovalRule
    removed: tuple[tuple[int, int], ...]
    before: tuple[Score, ...]
    after: tuple[Score, ...]


def decide_without(
    model: ServedModel, patch_logits: Tensor, removed: Iterable[tuple[int, int]], rule: RemovalRule
) -> WhatIf:
    """Remove patches and decide again.

    Args:
        model: the model whose operating points apply.
        patch_logits: [P², C] of one image.
        removed: patches as (row, column) in the grid; duplicates count once.
        rule: how a removed patch counts, see ``RemovalRule``.

    Raises:
        InvalidQuery: a patch is outside the grid, or no patch remains under ``drop``.
    """
    side = round(patch_logits.shape[0] ** 0.5)
    mask = torch.zeros(side, side, dtype=torch.bool)
    cells = tuple(sorted(set(removed)))
    for row, column in cells:
        if not (0 <= row < side and 0 <= column < side):
            raise InvalidQuery(f"patch [{row}, {column}] is outside the grid; rows and columns are 0 to {side - 1}")
        mask[row, column] = True
    exact = patch_logits.double()
    try:
        after = remove_patches(exact, mask.flatten(), rule)
    except ValueError as error:
        raise InvalidQuery(str(error)) from None
    return WhatIf(model, rule, cells, scores(model, exact.mean(dim=0)), scores(model, after))
