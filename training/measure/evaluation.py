"""Quality of logits on a set of radiographs: by finding, with bootstrap intervals, and as means."""

from dataclasses import asdict, dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from app.patchnet.findings import FINDING_NAMES
from app.patchnet.manifest import Quality
from training.data.datasets import Films
from training.data.label_sets import ELEVEN
from training.measure.metrics import (
    Estimate,
    auroc,
    average_precision,
    best_threshold,
    bootstrap_auroc,
    calibration_error,
    decisions,
    interval,
)
from training.measure.subgroups import Subgroup

Array = NDArray[np.float64]
Localization = dict[str, dict[str, dict[str, Estimate]]]


@dataclass(frozen=True)
class Evaluation:
    """Figures of one set of radiographs. ``findings`` has those with both classes; means are over ``ELEVEN``.

    ``accuracies`` are at the thresholds, by finding. ``subgroups`` (by column and value) and ``localization`` (by
    method, figure and finding) are optional.
    """

    dataset: str
    films: int
    findings: dict[str, Quality]
    mean_auroc: float
    mean_auroc_interval: tuple[float, float]
    mean_calibration_error: float
    accuracies: dict[str, float]
    subgroups: dict[str, dict[str, Subgroup]] = field(default_factory=dict[str, dict[str, Subgroup]])
    localization: Localization | None = None

    def as_json(self) -> dict[str, object]:
        """Nested figures: ``auroc.mean``, ``auroc.<finding>`` and so on."""
        parts = ("auroc", "average_precision", "sensitivity", "specificity", "calibration_error")
        figures: dict[str, dict[str, float | None]] = {
            part: {name: getattr(quality, part) for name, quality in self.findings.items()} for part in parts
        }
        figures["accuracy"] = dict(self.accuracies)
        for by_finding in figures.values():
            known = [value for name, value in by_finding.items() if name in ELEVEN and value is not None]
            by_finding["mean"] = float(np.mean(known)) if known else None
        intervals = {name: quality.auroc_interval for name, quality in self.findings.items()}
        return {
            "dataset": self.dataset,
            "films": self.films,
            **figures,
            **({} if self.localization is None else {"localization": _plain(self.localization)}),
            "auroc_interval": {**intervals, "mean": self.mean_auroc_interval},
            "subgroups": {
                column: {value: group.as_json() for value, group in groups.items()}
                for column, groups in self.subgroups.items()
            },
        }


def evaluate(
    dataset: str, logits: Array, labels: Array, thresholds: dict[str, float], *, resamples: int = 2_000, seed: int = 0
) -> Evaluation:
    """Compare logits [N, C] with labels [N, C], both in label order; ``thresholds`` are probabilities by finding."""
    probabilities = expit(logits)
    samples = bootstrap_auroc(logits, labels, resamples, seed)
    findings: dict[str, Quality] = {}
    accuracies: dict[str, float] = {}
    for column, name in enumerate(FINDING_NAMES):
        truth, probability = labels[:, column], probabilities[:, column]
        area = auroc(logits[:, column], truth)
        if np.isnan(area):
            continue
        at = decisions(probability, truth, thresholds[name]) if name in thresholds else None
        if at is not None:
            accuracies[name] = at.accuracy
        findings[name] = Quality(
            dataset=dataset,
            positives=int((truth == 1).sum()),
            negatives=int((truth == 0).sum()),
            auroc=area,
            auroc_interval=interval(samples[:, column]),
            average_precision=average_precision(probability, truth),
            sensitivity=at.sensitivity if at else None,
            specificity=at.specificity if at else None,
            calibration_error=calibration_error(probability, truth),
        )
    measured = [name for name in ELEVEN if name in findings]
    columns = [FINDING_NAMES.index(name) for name in measured]
    return Evaluation(
        dataset=dataset,
        films=len(labels),
        findings=findings,
        mean_auroc=_mean({name: findings[name].auroc for name in measured}, measured),
        mean_auroc_interval=interval(samples[:, columns].mean(axis=1)) if measured else (float("nan"), float("nan")),
        mean_calibration_error=_mean({name: findings[name].calibration_error or 0.0 for name in measured}, measured),
        accuracies=accuracies,
    )


def evaluation_table(figures: Evaluation) -> str:
    """The figures of every finding as lines of text, and the mean with the number of findings that it is over."""
    head = ("finding", "positive", "negative", "AUROC (95 %)", "AP", "sens.", "spec.", "calibration")
    rows: list[tuple[str, ...]] = [head]
    for name, quality in figures.findings.items():
        low, high = quality.auroc_interval
        shares = (quality.average_precision, quality.sensitivity, quality.specificity, quality.calibration_error)
        area = f"{quality.auroc:.3f} ({low:.3f}-{high:.3f})"
        texts = ("-" if share is None else f"{share:.3f}" for share in shares)
        rows.append((name, str(quality.positives), str(quality.negatives), area, *texts))
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    judged = [name for name in ELEVEN if name in figures.findings]
    low, high = figures.mean_auroc_interval
    mean = f"mean AUROC of {len(judged)} findings: {figures.mean_auroc:.3f} ({low:.3f}-{high:.3f})"
    return "\n".join([f"{figures.films} radiographs of {figures.dataset}", *lines, mean])


def by_class(logits: Array, films: Films, resamples: int = 10_000, seed: int = 0) -> dict[str, object]:
    """Figures of any classes from logits [N, C]; ``mean`` is over the judged classes."""
    labels = films.labels.double().numpy()
    samples = bootstrap_auroc(logits, labels, resamples, seed)
    areas = {name: auroc(logits[:, c], labels[:, c]) for c, name in enumerate(films.classes)}
    known = [name for name in films.classes if not np.isnan(areas[name])]
    judged = [name for name in films.judged if name in known]
    precisions = {name: average_precision(logits[:, c], labels[:, c]) for c, name in enumerate(films.classes)}
    columns = {name: films.classes.index(name) for name in known}
    mean_samples = samples[:, [columns[name] for name in judged]].mean(axis=1)
    return {
        "films": len(films),
        "auroc": {name: areas[name] for name in known} | {"mean": _mean(areas, judged)},
        "auroc_interval": {name: interval(samples[:, column]) for name, column in columns.items()}
        | {"mean": interval(mean_samples)},
        "average_precision": {name: precisions[name] for name in known} | {"mean": _mean(precisions, judged)},
    }


def _mean(figures: dict[str, float], names: list[str]) -> float:
    return float(np.mean([figures[name] for name in names])) if names else float("nan")


def _plain(localization: Localization) -> dict[str, object]:
    return {
        method: {
            figure: {finding: asdict(estimate) for finding, estimate in found.items()}
            for figure, found in figures.items()
        }
        for method, figures in localization.items()
    }


def tune_thresholds(logits: Array, labels: Array, findings: list[str]) -> dict[str, float]:
    """The best threshold of each finding on validation radiographs; none for findings without both classes."""
    probabilities = expit(logits)
    thresholds: dict[str, float] = {}
    for name in findings:
        column = FINDING_NAMES.index(name)
        known = labels[~np.isnan(labels[:, column]), column]
        if len(np.unique(known)) == 2:
            thresholds[name] = best_threshold(probabilities[:, column], labels[:, column])
    return thresholds
