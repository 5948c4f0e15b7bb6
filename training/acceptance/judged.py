"""Figures and verdict of every finding of a model on a site's radiographs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.metrics import cohen_kappa_score

from app.patchnet.findings import FINDING_NAMES
from app.patchnet.manifest import FindingRecord, FindingStatus, Manifest, OperatingPoint, Quality
from training.acceptance.cross_fitting import CrossDecided, cross_calibrated, cross_decided
from training.acceptance.observed import Observed
from training.acceptance.sample_size import positives_for, positives_to_validate
from training.measure.evaluation import evaluate
from training.measure.metrics import Estimate, bootstrap_calibration_error, calibration_error, proportion
from training.measure.status import LEAST_AUROC, LEAST_FILMS, enough

Array = NDArray[np.float64]

Verdict = Literal["adopt", "adopt with own operating point", "too few radiographs", "do not use"]

_CALIBRATION_RESAMPLES = 500


@dataclass(frozen=True)
class AtPoint:
    """Decisions at one operating point against the labels, each with its 95 % interval.

    ``kappa`` is Cohen's kappa of decisions and labels. The predictive values hold at the ``prevalence`` of the films.
    """

    threshold: float
    sensitivity: Estimate
    specificity: Estimate
    ppv: Estimate
    npv: Estimate
    prevalence: float
    kappa: float


@dataclass(frozen=True)
class JudgedFinding:
    """One finding. ``served`` is the manifest's threshold measured here, ``promised`` what the manifest states of it.

    ``own`` are thresholds chosen on these films, by name; their figures are cross-fitted: measured on patients that
    did not choose them. ``calibrated_error`` is the calibration error after cross-fitted Platt scaling. ``needed`` is
    the number of positive films that would validate the finding at this AUROC.
    """

    name: str
    status: FindingStatus
    positives: int
    negatives: int
    quality: Quality | None
    calibration_error: Estimate | None
    calibrated_error: float | None
    served: AtPoint | None
    promised: OperatingPoint | None
    own: Mapping[str, AtPoint]
    needed: int | None
    verdict: Verdict
    reason: str


def judge(observed: Observed, manifest: Manifest, dataset: str, resamples: int) -> list[JudgedFinding]:
    """Judge every finding of a model on a site's radiographs."""
    figures = evaluate(dataset, observed.logits, observed.labels, manifest.thresholds, resamples=resamples)
    calibrated = cross_calibrated(observed.logits, observed.labels, observed.groups)
    return [
        _judge(
            observed, record, manifest.default_operating_point, figures.findings.get(record.name), calibrated[:, column]
        )
        for column, record in enumerate(manifest.findings)
    ]


def _judge(
    observed: Observed, record: FindingRecord, default: str, quality: Quality | None, calibrated: Array
) -> JudgedFinding:
    column = FINDING_NAMES.index(record.name)
    logits, labels = observed.logits[:, column], observed.labels[:, column]
    if record.status == "untrained":
        quality = None
    promised = record.operating_points.get(default)
    served = None
    if quality is not None and promised is not None:
        served = at_point(expit(logits) >= promised.threshold, labels, promised.threshold)
    positives, negatives = int((labels == 1).sum()), int((labels == 0).sum())
    verdict, reason = _verdict(record, quality, served, promised, positives, negatives)
    return JudgedFinding(
        name=record.name,
        status=record.status,
        positives=positives,
        negatives=negatives,
        quality=quality,
        calibration_error=_calibration_error(expit(logits), labels) if quality else None,
        calibrated_error=calibration_error(calibrated, labels) if quality else None,
        served=served,
        promised=promised,
        own=_own(observed, column) if quality else {},
        needed=positives_to_validate(quality.auroc, negatives / positives) if quality else None,
        verdict=verdict,
        reason=reason,
    )


def at_point(called: NDArray[np.bool_], labels: Array, threshold: float) -> AtPoint:
    """Figures of decisions [N] against labels [N]; unknown labels are excluded."""
    known = ~np.isnan(labels)
    called, positive = called[known], labels[known] == 1
    right = called == positive
    return AtPoint(
        threshold=threshold,
        sensitivity=_share(right, positive),
        specificity=_share(right, ~positive),
        ppv=_share(right, called),
        npv=_share(right, ~called),
        prevalence=float(positive.mean()),
        kappa=float(cohen_kappa_score(called, positive)) if called.any() and not called.all() else float("nan"),
    )


def at_cross_fitted_point(cross: CrossDecided, labels: Array) -> AtPoint:
    """Figures of cross-fitted decisions against labels [N]; radiographs without a decision are excluded."""
    return at_point(cross.called[cross.decided] == 1, labels[cross.decided], cross.threshold)


def _share(right: NDArray[np.bool_], among: NDArray[np.bool_]) -> Estimate:
    return proportion(int(right[among].sum()), int(among.sum()))


def _own(observed: Observed, column: int) -> dict[str, AtPoint]:
    """Cross-fitted figures of the site's own operating points, by name."""
    labels = observed.labels[:, column]
    found: dict[str, AtPoint] = {}
    for name, cross in cross_decided(observed.logits, observed.labels, observed.groups, column).items():
        if len(np.unique(labels[cross.decided & ~np.isnan(labels)])) == 2:
            found[name] = at_cross_fitted_point(cross, labels)
    return found


def _calibration_error(probabilities: Array, labels: Array) -> Estimate:
    samples = bootstrap_calibration_error(probabilities, labels, _CALIBRATION_RESAMPLES, seed=0)
    return Estimate.of(calibration_error(probabilities, labels), samples)


def _verdict(
    record: FindingRecord,
    quality: Quality | None,
    served: AtPoint | None,
    promised: OperatingPoint | None,
    positives: int,
    negatives: int,
) -> tuple[Verdict, str]:
    """The verdict by rule, with its reason."""
    if record.status == "untrained":
        return "do not use", "the weights never saw a label of this finding"
    if quality is None or not enough(positives, negatives):
        return "too few radiographs", _lack(positives, negatives)
    low, high = quality.auroc_interval
    if high < LEAST_AUROC:
        return "do not use", f"the AUROC is below {LEAST_AUROC:.2f}: {_area(quality)}"
    if low < LEAST_AUROC:
        needed = positives_to_validate(quality.auroc, negatives / positives)
        more = f"; about {needed} positive radiographs would decide it" if needed else ""
        return "too few radiographs", f"the interval of the AUROC includes {LEAST_AUROC:.2f}: {_area(quality)}{more}"
    if record.status == "derived":
        return "do not use", "the label of this finding is made from another finding's"
    return _verdict_about_threshold(quality, served, promised)


def _verdict_about_threshold(
    quality: Quality, served: AtPoint | None, promised: OperatingPoint | None
) -> tuple[Verdict, str]:
    """The verdict about a finding that can be adopted: with the threshold of the manifest, or with an own one."""
    if served is None or promised is None:
        return "adopt with own operating point", f"{_area(quality)}; the model has no threshold for it"
    measured = {"sensitivity": served.sensitivity, "specificity": served.specificity}
    worse = [
        f"{name} {found.value:.2f} ({found.low:.2f}-{found.high:.2f}) instead of {stated:.2f}"
        for name, found in measured.items()
        if (stated := getattr(promised, name)) is not None and found.high < stated
    ]
    if worse:
        return "adopt with own operating point", f"{_area(quality)}; its threshold has {', '.join(worse)}"
    return "adopt", f"{_area(quality)}; its threshold does what the manifest states"


def _lack(positives: int, negatives: int) -> str:
    return (
        f"{positives} positive and {negatives} negative, needed are {LEAST_FILMS} of each; for a sensitivity to ± 0.10 "
        f"about {positives_for(0.10)} positive, to ± 0.05 about {positives_for(0.05)}"
    )


def _area(quality: Quality) -> str:
    low, high = quality.auroc_interval
    return f"AUROC {quality.auroc:.3f} ({low:.3f}-{high:.3f})"
