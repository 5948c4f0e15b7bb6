"""Platt scaling on validation radiographs, folded into the last linear layer, so that the evidence stays additive."""

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from torch import nn

Array = NDArray[np.float64]

_WEAK_PENALTY = 10.0
_LEAST_SLOPE = 0.05


def fit_platt(logits: Array, labels: Array) -> tuple[Array, Array]:
    """Slope and intercept for each finding: [N, C] logits, [N, C] labels → [C], [C].

    A finding whose known labels lack a class keeps slope 1 and intercept 0. The slope stays positive, so the order of
    the radiographs and every AUROC stay the same.
    """
    slopes, intercepts = np.ones(logits.shape[1]), np.zeros(logits.shape[1])
    for column in range(logits.shape[1]):
        known = ~np.isnan(labels[:, column])
        if len(np.unique(labels[known, column])) == 2:
            fit = LogisticRegression(C=_WEAK_PENALTY).fit(logits[known, column, None], labels[known, column])
            slopes[column] = max(_LEAST_SLOPE, float(fit.coef_[0, 0]))
            intercepts[column] = float(fit.intercept_[0])
    return slopes, intercepts


@torch.no_grad()
def fold(head: nn.Linear, slopes: Array, intercepts: Array) -> None:
    """Scale and shift the outputs of a linear layer in place: z → slope · z + intercept, for each finding.

    The mean over patches commutes with it: scaling every patch logit scales the global logit alike.
    """
    slope = torch.as_tensor(slopes, dtype=head.weight.dtype, device=head.weight.device)
    head.weight.mul_(slope[:, None])
    head.bias.mul_(slope).add_(torch.as_tensor(intercepts, dtype=head.bias.dtype, device=head.bias.device))
