"""Figures of merit of scores against labels. Unknown labels (NaN) are left out, finding by finding."""

from collections.abc import Generator as Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

ELEVEN = (
    "No Finding", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema", "Consolidation", "Pneumonia", "Atelectasis",
    "Pneumothorax", "Pleural Effusion", "Pleural Other",
)  # fmt: skip
"""The findings with labels of their own in the NIH data; means are taken over them."""


def auroc(scores: Array, labels: Array) -> float:
    """Area under the ROC curve of one finding: [N], [N] → 0…1, ties count half; NaN without both classes."""
    return float(_weighted_auroc(scores, labels, np.ones((1, len(labels))))[0])


def bootstrap_auroc(scores: Array, labels: Array, resamples: int, seed: int) -> Array:
    """AUROC of every finding in bootstrap resamples of the films: [N, C], [N, C] → [R, C].

    Films are drawn with replacement, the same ones for all findings. NaN where a resample lacks a class.
    """
    return np.concatenate(list(_bootstrap(scores, labels, resamples, np.random.default_rng(seed))))


def _bootstrap(
    scores: Array, labels: Array, resamples: int, generator: np.random.Generator, chunk: int = 2_000
) -> Iterator[Array]:
    films = len(labels)
    for begin in range(0, resamples, chunk):
        count = min(chunk, resamples - begin)
        drawn = generator.integers(0, films, (count, films))
        flat = (drawn + np.arange(count)[:, None] * films).ravel()
        weights = np.bincount(flat, minlength=count * films).reshape(count, films).astype(np.float64)
        yield np.stack([_weighted_auroc(scores[:, c], labels[:, c], weights) for c in range(labels.shape[1])], axis=1)


def _weighted_auroc(scores: Array, labels: Array, weights: Array) -> Array:
    """AUROC with film weights [R, N] → [R]: the share of weighted pairs in the right order."""
    known = ~np.isnan(labels)
    order = np.argsort(scores[known], kind="stable")
    ordered, positive = scores[known][order], labels[known][order] == 1
    weight = weights[:, known][:, order]
    starts = np.concatenate(([0], np.flatnonzero(np.diff(ordered)) + 1)) if len(ordered) else np.zeros(0, int)
    if not len(starts):
        return np.full(len(weights), np.nan)
    lower = np.add.reduceat(weight * ~positive, starts, axis=1)  # weight of negatives at each distinct score
    upper = np.add.reduceat(weight * positive, starts, axis=1)
    below = np.cumsum(lower, axis=1) - lower / 2
    pairs = upper.sum(axis=1) * lower.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (upper * below).sum(axis=1) / pairs


def interval(samples: Array, coverage: float = 0.95) -> tuple[float, float]:
    """Percentile interval of bootstrap samples [R]; NaN samples are left out."""
    tail = (1 - coverage) / 2
    low, high = np.nanquantile(samples, (tail, 1 - tail))
    return float(low), float(high)


def average_precision(scores: Array, labels: Array) -> float:
    """Area under the precision-recall curve by steps, tied scores taken together; NaN without positives."""
    known = ~np.isnan(labels)
    order = np.argsort(-scores[known], kind="stable")
    ordered, positive = scores[known][order], labels[known][order] == 1
    if not positive.any():
        return float("nan")
    ends = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)
    hits = np.cumsum(positive)[ends]
    gained = np.diff(hits, prepend=0)
    return float((gained * hits / (ends + 1)).sum() / positive.sum())


@dataclass(frozen=True)
class Decisions:
    """How decisions at a threshold compare with the labels, each 0…1; NaN without films of the class."""

    sensitivity: float
    specificity: float
    accuracy: float


def decisions(scores: Array, labels: Array, threshold: float) -> Decisions:
    """Compare ``scores >= threshold`` with labels of one finding, [N] each."""
    known = ~np.isnan(labels)
    said, true = scores[known] >= threshold, labels[known] == 1
    return Decisions(_mean(said[true]), _mean(~said[~true]), _mean(said == true))


def best_threshold(probabilities: Array, labels: Array) -> float:
    """The threshold with the largest sensitivity + specificity, halfway between two scores.

    Raises ValueError without both classes. Source: paper, evaluation.
    """
    known = ~np.isnan(labels)
    ordered = np.unique(probabilities[known])
    true = labels[known] == 1
    if true.all() or not true.any():
        raise ValueError("a threshold needs films of both classes")
    candidates = (ordered[:-1] + ordered[1:]) / 2 if len(ordered) > 1 else ordered
    said = probabilities[known][None, :] >= candidates[:, None]
    gain = said[:, true].mean(axis=1) + (~said[:, ~true]).mean(axis=1)
    return float(candidates[np.argmax(gain)])


def calibration_error(probabilities: Array, labels: Array, bins: int = 10) -> float:
    """Expected calibration error of one finding over equally wide bins: |mean probability - frequency|, weighted."""
    known = ~np.isnan(labels)
    probability, true = probabilities[known], labels[known]
    which = np.minimum((probability * bins).astype(int), bins - 1)
    count = np.bincount(which, minlength=bins)
    gap = np.bincount(which, probability - true, minlength=bins)
    return float(np.abs(gap).sum() / max(1, count.sum()))


def _mean(values: NDArray[np.bool_]) -> float:
    return float(values.mean()) if len(values) else float("nan")
