"""How many positive radiographs a statement needs."""

import math

from training.measure.status import LEAST_AUROC

_Z = 1.96
_MOST = 1_000_000


def positives_for(half_width: float, sensitivity: float = 0.85) -> int:
    """Positive radiographs for a 95 % interval of the sensitivity of ± ``half_width`` (normal approximation)."""
    return math.ceil(sensitivity * (1 - sensitivity) * (_Z / half_width) ** 2)


def positives_to_validate(auroc: float, negatives_per_positive: float, least: float = LEAST_AUROC) -> int | None:
    """Positive radiographs for a 95 % interval of the AUROC whose lower end is ``least``; None where it cannot be.

    Source: Hanley and McNeil, Radiology 1982, the standard error of the area.
    """
    if not auroc > least:
        return None
    count = 1
    while count <= _MOST:
        if auroc - _Z * _standard_error(auroc, count, max(1.0, count * negatives_per_positive)) >= least:
            return count
        count = math.ceil(count * 1.05)
    return None


def _standard_error(auroc: float, positives: float, negatives: float) -> float:
    twice_positive, twice_negative = auroc / (2 - auroc), 2 * auroc**2 / (1 + auroc)
    variance = auroc * (1 - auroc)
    variance += (positives - 1) * (twice_positive - auroc**2) + (negatives - 1) * (twice_negative - auroc**2)
    return math.sqrt(variance / (positives * negatives))
