"""From a judged model to a new version of its artifact: calibrated, with the site's operating points and statuses."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.errors import ConfigurationError
from app.files import sha256_of
from app.patchnet import artifact
from app.patchnet.backbones import head_of
from app.patchnet.findings import FINDING_NAMES
from app.patchnet.manifest import Description, FindingRecord, FindingStatus, OperatingPoint, Quality, Step
from training.acceptance.adoption_section import with_adoption
from training.acceptance.cross_fitting import CrossDecided, cross_calibrated, cross_decided
from training.acceptance.drift import local_reference
from training.acceptance.judged import at_cross_fitted_point
from training.acceptance.observed import Observed
from training.acceptance.report import Accepted
from training.measure.evaluation import Evaluation, evaluate
from training.measure.findings import Decided, decide_findings, held_out_qualities
from training.measure.inference import Predicted
from training.measure.metrics import calibration_error
from training.measure.operating_points import choose_default
from training.measure.status import enough
from training.publish.artifact import limit_of
from training.publish.calibration import fit_platt, fold
from training.publish.decisions_section import with_decisions

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Calibrated:
    """A site's results after calibration: slopes and intercepts [14], the outputs, and cross-fitted probabilities.

    Findings with too few radiographs keep slope 1 and intercept 0.
    """

    slopes: Array
    intercepts: Array
    observed: Observed
    held_out_probabilities: Array


@dataclass(frozen=True)
class Adopted:
    """A written artifact with its decisions, and the mean calibration errors before and after, on held-out patients."""

    directory: Path
    decided: Decided
    calibration_errors: tuple[float, float]


def adopt(accepted: Accepted, out: Path, version: str, command: str, resamples: int = 10_000) -> Adopted:
    """Write a new artifact at ``out`` from the judged one, which stays as it is.

    Raises ConfigurationError where ``out`` exists, ArtifactError where the judged artifact was changed.
    """
    if out.exists():
        raise ConfigurationError(f"{out} exists; an adopted model is written to a folder of its own")
    parent = artifact.load(accepted.model_dir)
    if parent.manifest.weights_sha256 != accepted.weights_sha256:
        raise ConfigurationError(f"{accepted.model_dir} holds other weights than those that were judged")
    calibrated = calibrate(accepted.observed)
    figures = evaluate(accepted.dataset, calibrated.observed.logits, accepted.observed.labels, {}, resamples=resamples)
    decided = _decide(parent.manifest, calibrated, figures, accepted.dataset)
    errors = _mean_errors(accepted.observed, calibrated)
    description = _description(parent, calibrated, decided, (figures, errors), accepted, (out, version, command))
    fold(head_of(parent.manifest.backbone, parent.network.backbone), calibrated.slopes, calibrated.intercepts)
    card = parent.directory / artifact.CARD
    text = card.read_text(encoding="utf-8") if card.is_file() else ""
    text = with_adoption(with_decisions(text, decided), description, errors)
    pictures = {path.name: path.read_bytes() for path in parent.directory.iterdir() if path.suffix in {".png", ".svg"}}
    artifact.save(out, parent.network, description, text, pictures)
    return Adopted(out, decided, errors)


def calibrate(observed: Observed) -> Calibrated:
    """Fit Platt scaling for every finding with enough radiographs of both classes."""
    labels = observed.labels.copy()
    for column in range(labels.shape[1]):
        if not _has_enough(labels[:, column]):
            labels[:, column] = np.nan
    slopes, intercepts = fit_platt(observed.logits, labels)
    patch_logits = (observed.patch_logits * slopes + intercepts).astype(np.float32)
    scaled = Observed(patch_logits, observed.labels, observed.hashes, observed.groups)
    return Calibrated(slopes, intercepts, scaled, cross_calibrated(observed.logits, labels, observed.groups))


def _decide(parent: Description, calibrated: Calibrated, figures: Evaluation, dataset: str) -> Decided:
    """Statuses and operating points by the rules of publication; findings that a site cannot judge are not decided."""
    observed = calibrated.observed
    before = {record.name: record for record in parent.findings}
    untouched: dict[str, FindingStatus] = {
        name: record.status for name, record in before.items() if record.status in {"untrained", "imported"}
    }
    decided = decide_findings(
        [Predicted(dataset, observed.logits, observed.labels)],
        [],
        _qualities(figures, before, calibrated),
        untouched,
        {name for name, record in before.items() if record.status == "derived"},
    )
    records = tuple(_record(record, before[record.name], calibrated, dataset) for record in decided.records)
    probabilities = Predicted(dataset, observed.logits, observed.labels).probabilities
    default, counts = choose_default(records, probabilities, observed.labels, dataset)
    return Decided(tuple(_at_default(record, default, dataset) for record in records), default, counts)


def _at_default(record: FindingRecord, default: str, dataset: str) -> FindingRecord:
    """The record whose quality, where it was measured here, has the figures of the default operating point."""
    point, quality = record.operating_points.get(default), record.quality
    if point is None or quality is None or quality.dataset != dataset:
        return record
    figures = {"sensitivity": point.sensitivity, "specificity": point.specificity}
    return record.model_copy(update={"quality": quality.model_copy(update=figures)})


def _qualities(figures: Evaluation, before: Mapping[str, FindingRecord], calibrated: Calibrated) -> dict[str, Quality]:
    """The measured qualities, with calibration errors of held-out patients; untrained findings have none."""
    found: dict[str, Quality] = {}
    for name, quality in held_out_qualities([figures]).items():
        if before[name].status == "untrained":
            continue
        column = FINDING_NAMES.index(name)
        error = calibration_error(calibrated.held_out_probabilities[:, column], calibrated.observed.labels[:, column])
        found[name] = quality.model_copy(update={"calibration_error": error})
    return found


def _record(record: FindingRecord, before: FindingRecord, calibrated: Calibrated, dataset: str) -> FindingRecord:
    """The record with figures of held-out patients; with too few radiographs, that of the parent, not decided."""
    quality = record.quality
    if quality is None or not enough(quality.positives, quality.negatives):
        status = "weak" if before.status == "validated" else before.status
        return before.model_copy(update={"status": status})
    column = FINDING_NAMES.index(record.name)
    observed = calibrated.observed
    points = dict(record.operating_points)
    for name, cross in cross_decided(observed.logits, observed.labels, observed.groups, column).items():
        points[name] = _measured(points[name], cross, observed.labels[:, column], dataset)
    return record.model_copy(update={"operating_points": points})


def _measured(point: OperatingPoint, cross: CrossDecided, labels: Array, dataset: str) -> OperatingPoint:
    """The point with the threshold and the figures of decisions about patients that did not choose their threshold."""
    found = at_cross_fitted_point(cross, labels)
    figures = {
        name: None if np.isnan(share.value) else share.value
        for name, share in (
            ("sensitivity", found.sensitivity),
            ("specificity", found.specificity),
            ("ppv", found.ppv),
            ("npv", found.npv),
        )
    }
    return point.model_copy(update={**figures, "threshold": cross.threshold, "dataset": dataset})


def _has_enough(labels: Array) -> bool:
    """Whether the labels [N] of a finding are enough to judge it."""
    return enough(int((labels == 1).sum()), int((labels == 0).sum()))


def _mean_errors(observed: Observed, calibrated: Calibrated) -> tuple[float, float]:
    """Mean calibration error over the findings with enough radiographs, before and after calibration."""
    before = Predicted("", observed.logits, observed.labels).probabilities
    errors: list[tuple[float, float]] = []
    for column in range(observed.labels.shape[1]):
        labels = observed.labels[:, column]
        if _has_enough(labels):
            pair = (before[:, column], calibrated.held_out_probabilities[:, column])
            errors.append((calibration_error(pair[0], labels), calibration_error(pair[1], labels)))
    if not errors:
        return float("nan"), float("nan")
    first, second = np.mean(errors, axis=0)
    return float(first), float(second)


def _description(
    parent: artifact.Artifact,
    calibrated: Calibrated,
    decided: Decided,
    measured: tuple[Evaluation, tuple[float, float]],
    accepted: Accepted,
    written: tuple[Path, str, str],
) -> Description:
    (figures, (error_before, error_after)), (out, version, command) = measured, written
    manifest, now = parent.manifest, datetime.now(UTC).replace(microsecond=0)
    step = Step(
        command=command,
        at=now,
        source=f"{manifest.name} {manifest.version}",
        source_sha256=manifest.weights_sha256,
        source_manifest_sha256=sha256_of(parent.directory / artifact.MANIFEST),
        films=len(accepted.observed.hashes),
        films_sha256=accepted.fingerprint,
    )
    metrics = {
        "local.auroc.mean": figures.mean_auroc,
        "local.calibration_error.before": error_before,
        "local.calibration_error.after": error_after,
    }
    description = Description.model_validate(manifest.model_dump(exclude={"schema_version", "weights_sha256"}))
    return description.model_copy(
        update={
            "name": out.resolve().name.lower(),
            "version": version,
            "findings": decided.records,
            "default_operating_point": decided.default,
            "display_limit": limit_of(calibrated.observed.patch_logits) or manifest.display_limit,
            "created": now,
            "metrics": {name: value for name, value in metrics.items() if not np.isnan(value)} | decided.metrics,
            "reference": local_reference(calibrated.observed, parent.manifest, accepted.dataset),
            "precisions": (),  # measured with other weights
            "strides": (),
            "history": (*manifest.history, step),
        }
    )
