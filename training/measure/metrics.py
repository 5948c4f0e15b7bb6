"""Metrics of scores against labels. Unknown labels (NaN) are excluded for each finding."""

from collections.abc import Generator as Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn.metrics import average_precision_score, roc_curve

Array = NDArray[np.float64]


def auroc(scores: Array, labels: Array) -> float:
    """Area under the ROC curve of one finding: [N], [N] → 0…1, ties count half; NaN without both classes."""
    return float(_weighted_auroc(scores, labels, np.ones((len(labels), 1), dtype=np.float32))[0])


def bootstrap_auroc(scores: Array, labels: Array, resamples: int, seed: int) -> Array:
    """AUROC of every finding in bootstrap resamples of the radiographs: [N, C], [N, C] → [R, C].

    Radiographs are drawn with replacement, the same for all findings. NaN where a resample lacks a class.
    """
    findings = range(labels.shape[1])
    return np.concatenate(
        [
            np.stack([_weighted_auroc(scores[:, column], labels[:, column], drawn) for column in findings], axis=1)
            for drawn in draws(len(labels), resamples, seed)
        ]
    )


def bootstrap_means(values: Array, resamples: int, seed: int) -> Array:
    """Means over bootstrap resamples of the rows: [N, M] → [R, M]. NaN is excluded; NaN where no value remains."""
    known = ~np.isnan(values)
    numbers = np.nan_to_num(values)
    with np.errstate(invalid="ignore"):
        means = [(drawn.T @ numbers) / (drawn.T @ known) for drawn in draws(len(values), resamples, seed)]
    return np.concatenate(means)


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % bootstrap interval over the radiographs; NaN where it is undefined."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, value: float, samples: Array) -> "Estimate":
        """From a figure and its bootstrap samples [R]."""
        return cls(value, *(interval(samples) if not np.isnan(samples).all() else (float("nan"), float("nan"))))


def proportion(hits: int, trials: int) -> Estimate:
    """A proportion with its 95 % Wilson interval; NaN without trials."""
    if not trials:
        return Estimate(float("nan"), float("nan"), float("nan"))
    bounds = binomtest(hits, trials).proportion_ci(method="wilson")
    return Estimate(hits / trials, float(bounds.low), float(bounds.high))


def bootstrap_calibration_error(probabilities: Array, labels: Array, resamples: int, seed: int) -> Array:
    """Expected calibration errors of one finding in bootstrap resamples of the radiographs: [N], [N] → [R]."""
    generator = np.random.default_rng(seed)
    drawn = (generator.integers(0, len(labels), len(labels)) for _ in range(resamples))
    return np.array([calibration_error(probabilities[rows], labels[rows]) for rows in drawn])


def draws(films: int, resamples: int, seed: int, chunk: int = 1_000) -> Iterator[NDArray[np.float32]]:
    """Count of each radiograph in each resample: [N, R], in parts of at most ``chunk`` resamples."""
    generator = np.random.default_rng(seed)
    for begin in range(0, resamples, chunk):
        count = min(chunk, resamples - begin)
        drawn = generator.integers(0, films, (count, films))
        flat = (drawn + np.arange(count)[:, None] * films).ravel()
        often = np.bincount(flat, minlength=count * films).reshape(count, films)
        yield np.ascontiguousarray(often.T, dtype=np.float32)


def _weighted_auroc(scores: Array, labels: Array, weights: NDArray[np.float32]) -> Array:
    """AUROC with integer weights of the radiographs, [N, R] → [R]: the share of weighted pairs in the right order.

    All resamples at once, because scikit-learn would take hours for 100,000. Rows are radiographs, so that every step
    reads memory in order. Counts of pairs are whole or half numbers, so sums are exact.
    """
    known = ~np.isnan(labels)
    order = np.argsort(scores[known], kind="stable")
    if not len(order):
        return np.full(weights.shape[1], np.nan)
    rows, positive = np.flatnonzero(known)[order], labels[known][order] == 1
    ordered = scores[known][order]
    group = np.concatenate(([0], np.cumsum(np.diff(ordered) != 0)))  # [N]: equal scores share a number
    lower = np.zeros((group[-1] + 1, weights.shape[1]), dtype=np.float32)  # weight of negatives at each score
    np.add.at(lower, group[~positive], weights[rows[~positive]])
    below = np.cumsum(lower, axis=0, dtype=np.float32)
    negatives = below[-1].astype(np.float64)
    below -= lower / 2
    upper = weights[rows[positive]]
    ordered_pairs = np.einsum("nr,nr->r", upper, below[group[positive]], dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        return ordered_pairs / (upper.sum(axis=0, dtype=np.float64) * negatives)


def interval(samples: Array, coverage: float = 0.95) -> tuple[float, float]:
    """Percentile interval of bootstrap samples [R]; NaN samples are excluded."""
    tail = (1 - coverage) / 2
    low, high = np.nanquantile(samples, (tail, 1 - tail))
    return float(low), float(high)


def average_precision(scores: Array, labels: Array) -> float:
    """Average precision of one finding: [N], [N] → 0…1; NaN without positives."""
    known = ~np.isnan(labels)
    if not (labels[known] == 1).any():
        return float("nan")
    return float(average_precision_score(labels[known], scores[known]))


def roc_points(scores: Array, labels: Array) -> tuple[Array, Array]:
    """1 - specificity and sensitivity at every threshold, from none positive to all positive; empty without a class."""
    known = ~np.isnan(labels)
    if len(np.unique(labels[known])) < 2:
        return np.empty(0), np.empty(0)
    false, true, _ = roc_curve(labels[known], scores[known], drop_intermediate=False)
    return false, true


@dataclass(frozen=True)
class Decisions:
    """Decisions at a threshold against the labels, each 0…1; NaN without radiographs of the class."""

    sensitivity: float
    specificity: float
    accuracy: float


def decisions(scores: Array, labels: Array, threshold: float) -> Decisions:
    """Compare ``scores >= threshold`` with labels of one finding, [N] each."""
    known = ~np.isnan(labels)
    called, true = scores[known] >= threshold, labels[known] == 1
    return Decisions(_mean(called[true]), _mean(~called[~true]), _mean(called == true))


def best_threshold(probabilities: Array, labels: Array) -> float:
    """The threshold with the largest sensitivity + specificity, halfway between two scores.

    Raises ValueError without both classes. Source: paper, evaluation.
    """
    known = ~np.isnan(labels)
    ordered = np.unique(probabilities[known])
    true = labels[known] == 1
    if true.all() or not true.any():
        raise ValueError("a threshold needs radiographs of both classes")
    candidates = (ordered[:-1] + ordered[1:]) / 2 if len(ordered) > 1 else ordered
    called = probabilities[known][None, :] >= candidates[:, None]
    gain = called[:, true].mean(axis=1) + (~called[:, ~true]).mean(axis=1)
    return float(candidates[np.argmax(gain)])


def calibration_error(probabilities: Array, labels: Array, bins: int = 10) -> float:
    """Expected calibration error of one finding over equally wide bins: |mean probability - frequency|, weighted."""
    known = ~np.isnan(labels)
    probability, true = probabilities[known], labels[known]
    bin_of = np.minimum((probability * bins).astype(int), bins - 1)
    count = np.bincount(bin_of, minlength=bins)
    gap = np.bincount(bin_of, probability - true, minlength=bins)
    return float(np.abs(gap).sum() / max(1, count.sum()))


def _mean(values: NDArray[np.bool_]) -> float:
    return float(values.mean()) if len(values) else float("nan")
