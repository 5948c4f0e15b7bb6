"""The status of a finding, by rule, from what was measured on held-out radiographs."""

from app.patchnet.manifest import FindingStatus, Quality

LEAST_FILMS = 20
"""Least positive, and least negative, held-out radiographs of a validated finding."""

LEAST_AUROC = 0.70
"""Least lower end of a validated finding's 95 % interval of the AUROC."""


def enough(positives: int, negatives: int) -> bool:
    """Whether radiographs are enough to validate a finding."""
    return min(positives, negatives) >= LEAST_FILMS


def status_of(quality: Quality | None, *, derived: bool) -> FindingStatus:
    """The status of a trained finding: derived by its data set's description, else validated or weak by its quality."""
    if derived:
        return "derived"
    if quality is None or not enough(quality.positives, quality.negatives) or quality.auroc_interval[0] < LEAST_AUROC:
        return "weak"
    return "validated"
