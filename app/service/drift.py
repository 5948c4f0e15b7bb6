"""Metrics for drift detection: served probabilities and evidence, beside the reference of the default model."""

from itertools import accumulate

from app.imaging.radiograph import ImageFacts
from app.patchnet.manifest import REGIONS, Manifest
from app.patchnet.reference import EDGES, evidence_shares
from app.service.results import Prediction
from app.telemetry import ImageOrigin, Metrics

_MODALITIES: dict[str | None, ImageOrigin] = {"CR": "cr", "DX": "dx"}


def origin_of(facts: ImageFacts) -> ImageOrigin:
    """Modality or format of a radiograph as a metric label."""
    return _MODALITIES.get(facts.modality, "other_dicom") if facts.format == "dicom" else facts.format


def observe(metrics: Metrics, prediction: Prediction) -> None:
    """Record the probabilities, the positive findings and the regions of the evidence of a prediction."""
    served: list[int] = []
    for column, finding in enumerate(prediction.scores):
        if finding.probability is not None:
            served.append(column)
            metrics.probability.labels(finding.name).observe(finding.probability)
        if finding.positive:
            metrics.positive.labels(finding.name).inc()
    shares = evidence_shares(prediction.patch_logits, served)
    if shares is not None:
        origin = origin_of(prediction.radiograph.facts)
        for region, share in zip(REGIONS, shares, strict=True):
            metrics.evidence_share.labels(origin, region).inc(share)


def export_reference(metrics: Metrics, manifest: Manifest) -> None:
    """Export the reference distribution of a manifest, if it has one, in the same form as the live metrics."""
    if manifest.reference is None:
        return
    for name, shares in manifest.reference.probability_tenths.items():
        for edge, share in zip(EDGES, accumulate(shares), strict=False):
            metrics.reference_probability.labels(name, str(edge)).set(share)
    for region, share in zip(REGIONS, manifest.reference.evidence_regions, strict=True):
        metrics.reference_evidence.labels(region).set(share)
