"""Lattices of patch origins: the positions of the patches of a saliency map."""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional


def axis_shifts(patch_size: int, offset: int) -> list[int]:
    """Shifts of the grid along one axis, in pixels, ascending; they include 0.

    ``ceil(patch_size / offset)`` multiples of ``offset``, symmetric about 0: [-p/2, p/2) where the offset divides p
    evenly. ``offset == patch_size`` gives [0], the plain grid. Raises ValueError unless 1 <= offset <= patch_size.
    Source: the authors' symmetric shifts.
    """
    if not 1 <= offset <= patch_size:
        raise ValueError(f"offset must be between 1 and {patch_size} px, got {offset}")
    count = math.ceil(patch_size / offset)
    return [offset * step for step in range(-(count // 2), count - count // 2)]


@dataclass(frozen=True)
class Lattice:
    """All patch origins of all shifts of one map: the product of the same positions in rows and columns.

    ``starts`` are the n = P · ceil(p / offset) origins along one axis, ascending, in pixels of the unpadded image; they
    can be negative, and patches can extend past the image (zero padding). Origins are ordered row-major.
    """

    image_size: int
    patch_size: int
    offset: int
    starts: tuple[int, ...]

    @classmethod
    def regular(cls, image_size: int, patch_size: int, offset: int) -> "Lattice":
        """The lattice of the shift-averaged map with ``offset``.

        The plain grid moved by every shift: distinct origins at i·p + s.
        Raises ValueError unless 1 <= offset <= patch_size.
        """
        shifts = axis_shifts(patch_size, offset)
        corners = range(0, image_size, patch_size)
        starts = sorted(corner + shift for corner in corners for shift in shifts)
        return cls(image_size, patch_size, offset, tuple(starts))

    def thinned(self, stride: int) -> "Lattice":
        """Every ``stride``-th origin along each axis, and the last one. Raises ValueError unless stride >= 1."""
        if stride < 1:
            raise ValueError(f"stride must be at least 1, got {stride}")
        kept = self.starts[::stride]
        return replace(self, starts=kept if kept[-1] == self.starts[-1] else (*kept, self.starts[-1]))

    @property
    def origins(self) -> Tensor:
        """Top-left corners of all patches, in pixels of the unpadded image: [n², 2] int64 (row, column)."""
        starts = torch.tensor(self.starts)
        return torch.cartesian_prod(starts, starts)

    @property
    def per_axis(self) -> int:
        """n: number of positions along one axis."""
        return len(self.starts)

    @property
    def passes(self) -> int:
        """Patches of the lattice per patches of an image, rounded up: the number of shifts, if it is not thinned."""
        return math.ceil(self.patches / (self.image_size // self.patch_size) ** 2)

    @property
    def is_plain(self) -> bool:
        """Whether it is the grid that makes the decision."""
        return self.offset == self.patch_size

    @property
    def patches(self) -> int:
        """n²: number of patches that one map evaluates."""
        return self.per_axis**2


def cut_patches(image: Tensor, patch_size: int, origins: Tensor) -> Tensor:
    """Cut patches at any origins out of one image; pixels outside the image are 0.

    Args:
        image: [1, S, S].
        patch_size: p, pixels.
        origins: [N, 2] int64 (row, column) in pixels; every patch must touch the image extended by p on each side.

    Returns:
        [N, 1, p, p].
    """
    padded = functional.pad(image, (patch_size,) * 4)[0]  # [S + 2p, S + 2p]
    windows = padded.unfold(0, patch_size, 1).unfold(1, patch_size, 1)  # [S + p + 1, S + p + 1, p, p], a view
    rows, columns = (origins + patch_size).unbind(1)
    return windows[rows, columns][:, None]


def merge_constant(patches: Tensor) -> tuple[Tensor, Tensor]:
    """Merge constant patches of equal value in [N, 1, p, p], such as those of collimated borders.

    Returns the distinct patches [M, 1, p, p], and for each of the N the index [N] of the identical one among them.
    """
    values = patches[:, 0, 0, 0]
    constant = (patches == values[:, None, None, None]).flatten(1).all(dim=1)
    kept = ~constant
    index = torch.cumsum(kept, dim=0) - 1
    if bool(constant.any()):
        levels, which = torch.unique(values[constant], return_inverse=True)
        index[constant] = int(kept.sum()) + which
        flat = levels[:, None, None, None].expand(-1, *patches.shape[1:])
        return torch.cat([patches[kept], flat]), index
    return patches, index
