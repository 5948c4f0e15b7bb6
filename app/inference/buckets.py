"""Batch sizes that a device prepares for once, and how any number of patches is cut to fit them."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """Patches ``begin`` … ``end`` of a batch, run as ``size`` rows: the rest are filled up."""

    begin: int
    end: int
    size: int


def bucket_sizes(smallest: int, largest: int) -> list[int]:
    """Doubling sizes from ``smallest`` up, the last one at least ``largest``; ascending. Both are at least 1."""
    sizes = [max(1, smallest)]
    while sizes[-1] < largest:
        sizes.append(sizes[-1] * 2)
    return sizes


def parts(count: int, sizes: Sequence[int]) -> list[Part]:
    """``count`` patches as full batches of the largest size, and the rest in the smallest size that holds it."""
    largest = max(sizes)
    cut: list[Part] = []
    for begin in range(0, count, largest):
        rest = min(count - begin, largest)
        cut.append(Part(begin, begin + rest, min(size for size in sizes if size >= rest)))
    return cut
