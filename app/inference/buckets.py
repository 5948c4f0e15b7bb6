"""Fixed batch sizes of a device, and the division of any number of patches into them."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """Patches ``begin`` … ``end`` of a batch, run as a batch of ``size``; the remaining rows are padding."""

    begin: int
    end: int
    size: int


def bucket_sizes(smallest: int, largest: int) -> list[int]:
    """Sizes that double from ``smallest`` until one is at least ``largest``, ascending. Both are at least 1."""
    sizes = [max(1, smallest)]
    while sizes[-1] < largest:
        sizes.append(sizes[-1] * 2)
    return sizes


def parts(count: int, sizes: Sequence[int]) -> list[Part]:
    """Divide ``count`` patches into full batches of the largest size and a rest in the smallest size that holds it."""
    largest = max(sizes)
    cut: list[Part] = []
    for begin in range(0, count, largest):
        rest = min(count - begin, largest)
        cut.append(Part(begin, begin + rest, min(size for size in sizes if size >= rest)))
    return cut
