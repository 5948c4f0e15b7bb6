"""The distribution of a model's results on known radiographs, with which live results are compared to detect drift.

There are two distributions: the probabilities of each finding, in tenths, and the location of the evidence, by region.
"""

from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor

from app.patchnet.findings import FINDING_NAMES
from app.patchnet.manifest import REGIONS, Reference

EDGES: tuple[float, ...] = tuple(step / 10 for step in range(1, 10))
"""Upper edges of all tenths except the last, inclusive, as in Prometheus histograms."""


@cache
def region_of(side: int) -> Tensor:
    """Region of every patch of a P × P grid: [P²] int64 into ``REGIONS``, row-major.

    The outermost ring is the border; the rest is divided into quarters as displayed. The middle row and column of an
    odd grid belong to the lower and right quarters.
    """
    far = torch.arange(side) >= side // 2
    quarter = 1 + 2 * far[:, None].long() + far[None, :].long()  # [P, P]
    border = torch.zeros_like(quarter)
    border[1:-1, 1:-1] = quarter[1:-1, 1:-1]
    return border.flatten()


def evidence_shares(patch_logits: Tensor, columns: Sequence[int]) -> tuple[float, ...] | None:
    """Fractions of the positive evidence of one image in each of ``REGIONS``, which add up to 1.

    ``patch_logits`` is [P², C]; ``columns`` are the findings that count. None without positive evidence.
    """
    positive = patch_logits[:, list(columns)].double().clamp(min=0).sum(dim=1)  # [P²]
    total = float(positive.sum())
    if total <= 0:
        return None
    sums = torch.zeros(len(REGIONS), dtype=torch.float64)
    sums.index_add_(0, region_of(round(patch_logits.shape[0] ** 0.5)), positive)
    return tuple((sums / total).tolist())


def measure_reference(dataset: str, patch_logits: Sequence[Tensor], columns: Sequence[int]) -> Reference:
    """The reference of radiographs with patch logits [P², C], for the findings ``columns`` that are served.

    Raises ValueError where no radiograph has positive evidence.
    """
    shares = [share for logits in patch_logits if (share := evidence_shares(logits, columns)) is not None]
    if not shares:
        raise ValueError("no radiograph has positive evidence for any finding")
    probabilities = torch.stack([logits.double().mean(dim=0).sigmoid() for logits in patch_logits])  # [N, C]
    edges = torch.tensor(EDGES, dtype=torch.float64)
    tenths = {
        FINDING_NAMES[column]: torch.bincount(
            torch.bucketize(probabilities[:, column].contiguous(), edges), minlength=len(EDGES) + 1
        )
        for column in columns
    }
    return Reference(
        dataset=dataset,
        films=len(patch_logits),
        probability_tenths={
            name: tuple(round(count / len(patch_logits), 4) for count in counts.tolist())
            for name, counts in tenths.items()
        },
        evidence_regions=tuple(round(share, 4) for share in torch.tensor(shares).mean(dim=0).tolist()),
    )
