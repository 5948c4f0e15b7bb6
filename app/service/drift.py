"""Drift: what is served, and what the default model's manifest expects, in the metrics that alert rules compare."""

from collections.abc import Iterator

from app.imaging.radiograph import ImageFacts
from app.patchnet.manifest import REGIONS, Manifest
from app.patchnet.reference import EDGES, evidence_shares
from app.service.results import Prediction
from app.telemetry import Metrics, Source

_MODALITIES: dict[str | None, Source] = {"CR": "cr", "DX": "dx"}


def source_of(facts: ImageFacts) -> Source:
    """Where a film comes from, as a label: a closed set, whatever the file says."""
    return _MODALITIES.get(facts.modality, "other_dicom") if facts.format == "dicom" else facts.format


def observe(metrics: Metrics, prediction: Prediction) -> None:
    """Count probabilities, positive findings and where the evidence lies."""
    served: list[int] = []
    for column, finding in enumerate(prediction.scores):
        if finding.probability is not None:
            served.append(column)
            metrics.probability.labels(finding.name).observe(finding.probability)
        if finding.positive:
            metrics.positive.labels(finding.name).inc()
    shares = evidence_shares(prediction.patch_logits, served)
    if shares is not None:
        source = source_of(prediction.radiograph.facts)
        for region, share in zip(REGIONS, shares, strict=True):
            metrics.evidence_share.labels(source, region).inc(share)


def expect(metrics: Metrics, manifest: Manifest) -> None:
    """Export the reference of a manifest, where it has one, in the shape of the live metrics."""
    if manifest.reference is None:
        return
    for name, shares in manifest.reference.probability_tenths.items():
        for edge, share in zip(EDGES, cumulative(shares), strict=False):
            metrics.reference_probability.labels(name, str(edge)).set(share)
    for region, share in zip(REGIONS, manifest.reference.evidence_regions, strict=True):
        metrics.reference_evidence.labels(region).set(share)


def cumulative(shares: tuple[float, ...]) -> Iterator[float]:
    """Running sums."""
    total = 0.0
    for share in shares:
        total += share
        yield total
