"""How far the results on a site's radiographs lie from the reference of the manifest, by the measures of the alerts."""

from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import torch

from app.patchnet.manifest import Manifest, Reference
from app.patchnet.reference import measure_reference
from training.acceptance.observed import Observed
from training.measure.drift_reference import served_columns

MOST_PROBABILITY, MOST_EVIDENCE = 0.25, 0.15
"""Limits of the alerts MedpatchnetUnlikeReference and MedpatchnetEvidenceElsewhere in deploy/prometheus/alerts.yml."""


@dataclass(frozen=True)
class Drift:
    """Distance from the reference ``dataset``.

    ``probabilities``, by finding: the largest difference of the cumulative distributions (Kolmogorov-Smirnov).
    ``evidence``: the share of the evidence that lies in other regions (total variation).
    """

    dataset: str
    probabilities: dict[str, float]
    evidence: float

    @property
    def unlike(self) -> tuple[str, ...]:
        """The findings with another distribution of probabilities."""
        return tuple(name for name, distance in self.probabilities.items() if distance > MOST_PROBABILITY)


def local_reference(observed: Observed, manifest: Manifest, dataset: str) -> Reference | None:
    """The distribution of the results on a site's radiographs; None where there is no positive evidence at all."""
    try:
        return measure_reference(dataset, list(torch.from_numpy(observed.patch_logits)), served_columns(manifest))
    except ValueError:
        return None


def drift(local: Reference | None, manifest: Manifest) -> Drift | None:
    """The distance of the site's distribution from the manifest's reference; None without one of them."""
    reference = manifest.reference
    if reference is None or local is None:
        return None
    distances = {
        name: max(
            abs(here - there)
            for here, there in zip(accumulate(local.probability_tenths[name]), accumulate(shares), strict=True)
        )
        for name, shares in reference.probability_tenths.items()
        if name in local.probability_tenths
    }
    moved = np.abs(np.subtract(local.evidence_regions, reference.evidence_regions)).sum() / 2
    return Drift(reference.dataset, distances, float(moved))
