"""Saliency maps from patch logits, as pure functions.

The plain grid (offset = patch size, raw) is exact: its mean is the global logit. Every other map is a smoothed view of
the same evidence and not exact.
"""

from typing import Literal

import torch
from torch import Tensor

from app.patchnet.grid import Lattice

MapKind = Literal["raw", "scaled"]
Border = Literal["coverage", "zero"]


def patch_grid(patch_logits: Tensor) -> Tensor:
    """Arrange patch logits as grids: [B, P², C] → [B, C, P, P]."""
    batch, patches, findings = patch_logits.shape
    side = round(patches**0.5)
    return patch_logits.transpose(1, 2).reshape(batch, findings, side, side)


def scale_evidence(evidence: Tensor, probabilities: Tensor) -> Tensor:
    """Scaled evidence: patch logits [..., C] times the image's probabilities [C].

    Source: paper, ẑ_i = ŷ ⊙ z_i, with ŷ the probability of the unshifted image.
    """
    return evidence * probabilities


def expand_grid(grid: Tensor, patch_size: int) -> Tensor:
    """Repeat each cell over the pixels of its patch: [..., P, P] → [..., P·p, P·p]."""
    return grid.repeat_interleave(patch_size, dim=-2).repeat_interleave(patch_size, dim=-1)


def shift_averaged_map(evidence: Tensor, lattice: Lattice, border: Border = "coverage") -> Tensor:
    """The mean evidence of all patches that cover each pixel.

    Args:
        evidence: [n², C] logits of the patches at the lattice's origins, row-major (n = ``lattice.per_axis``).
        lattice: the positions of the patches.
        border: ``coverage`` divides by the number of patches that cover the pixel, so constant evidence gives a
            constant map; ``zero`` divides by the number of all shifts, as the authors' code does, which reduces the
            borders.

    Returns:
        [C, S, S] in logits, float32.

    Raises:
        ValueError: if ``evidence`` does not have one row per origin.

    This is a zero-padded box filter over the field of patch logits, computed by cumulative sums in float64.
    Source: paper, "MedicalPatchNet", shifted saliency maps.
    """
    count = lattice.per_axis
    if evidence.shape[0] != lattice.patches:
        raise ValueError(f"expected {lattice.patches} patches, got {evidence.shape[0]}")
    field = evidence.to(torch.float64).reshape(count, count, -1).permute(2, 0, 1)  # [C, n, n]
    total = _box_sum(_box_sum(field, lattice).transpose(1, 2), lattice).transpose(1, 2)  # [C, S, S]
    if border == "zero":
        return (total / lattice.passes).to(torch.float32)
    return (total / coverage(lattice)).to(torch.float32)


def coverage(lattice: Lattice) -> Tensor:
    """Number of patches of the lattice that cover each pixel: [S, S] float64, at least 1 everywhere."""
    ones = torch.ones(1, lattice.per_axis, 1, dtype=torch.float64)
    along = _box_sum(ones, lattice)[0, :, 0]  # [S]
    return along[:, None] * along[None, :]


def interpolate_evidence(evidence: Tensor, thinned: Lattice, lattice: Lattice) -> Tensor:
    """Interpolate evidence from the origins of a thinned lattice to all origins, linearly along both axes.

    [m², C] → [n², C] for m and n positions along an axis. Exact at the kept origins. An odd stride correlates better
    with the map of offset 1 than a larger offset of the same cost: an even stride always meets the strides of the
    backbone in the same phase.
    """
    weights = _linear_weights(torch.tensor(thinned.starts), torch.tensor(lattice.starts))
    field = evidence.to(torch.float64).reshape(thinned.per_axis, thinned.per_axis, -1)  # [m, m, C]
    # One axis after the other: in a single product of three, the weights alone can take tens of gigabytes.
    columns = torch.einsum("jn,mnc->mjc", weights, field)
    full = torch.einsum("im,mjc->ijc", weights, columns)
    return full.reshape(lattice.patches, -1).to(evidence.dtype)


def _linear_weights(known: Tensor, wanted: Tensor) -> Tensor:
    """Weights [n, m] of linear interpolation from known positions [m], ascending, to positions [n] between them."""
    right = torch.searchsorted(known, wanted).clamp(1, len(known) - 1) if len(known) > 1 else wanted * 0
    left = (right - 1).clamp(min=0)
    gap = (known[right] - known[left]).clamp(min=1)
    share = (wanted - known[left]).to(torch.float64) / gap  # of the right neighbour
    weights = torch.zeros(len(wanted), len(known), dtype=torch.float64)
    rows = torch.arange(len(wanted))
    weights.index_put_((rows, left), 1 - share, accumulate=True)
    weights.index_put_((rows, right), share, accumulate=True)
    return weights


def _box_sum(field: Tensor, lattice: Lattice) -> Tensor:
    """Add every value to the p pixels of its patch along dimension 1: [C, n, m] → [C, S, m]."""
    size = lattice.image_size
    starts = torch.tensor(lattice.starts)
    steps = field.new_zeros(field.shape[0], size + 1, field.shape[2])
    steps.index_add_(1, starts.clamp(0, size), field)
    steps.index_add_(1, (starts + lattice.patch_size).clamp(0, size), field, alpha=-1)
    return steps.cumsum(1)[:, :size]
