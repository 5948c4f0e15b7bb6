"""Localisation of every method on annotated radiographs, cached on disk by radiograph."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from app.patchnet.findings import FINDING_NAMES, finding_index
from training.compare.annotations import Annotations, film_keys
from training.compare.localization import (
    THRESHOLDS,
    energy_inside,
    hit,
    iou_curve,
    place_square,
    precision_at_area,
)
from training.data.datasets import Films, read_film
from training.files import save_atomically
from training.measure.metrics import Estimate, bootstrap_means
from training.saliency_methods import Explainer

Array = NDArray[np.float64]

_FIGURES = 3  # hit, energy inside, precision at area; then the IoU curve


@dataclass(frozen=True)
class AnnotatedFilms:
    """Radiographs of a CSV file with their annotations."""

    films: Films
    keys: tuple[str, ...]
    annotations: Annotations

    @classmethod
    def of(cls, films: Films, csv_file: Path, annotations: Annotations) -> "AnnotatedFilms":
        """Match radiographs and annotations by key."""
        return cls(films, tuple(film_keys(films, csv_file, annotations)), annotations)

    def marked(self, index: int) -> list[str]:
        """The findings with a mask on a radiograph."""
        return [name for name in FINDING_NAMES if self.annotations.mask(self.keys[index], name) is not None]

    def shape(self, index: int) -> tuple[int, int] | None:
        """Rows and columns of an annotated radiograph; None without annotation."""
        for name in self.marked(index):
            mask = self.annotations.mask(self.keys[index], name)
            if mask is not None:
                return mask.shape
        return None

    def absent(self, index: int, finding: str) -> bool:
        """Whether a radiograph is known to lack a finding."""
        if self.annotations.mask(self.keys[index], finding) is not None:
            return False
        return self.annotations.complete or self.films.labels[index, finding_index(finding)].item() == 0


@dataclass(frozen=True)
class Measured:
    """Figures of one method by radiograph and finding [N, 14]; NaN without annotation. ``iou`` is [N, 14, T]."""

    hits: Array
    energy: Array
    precision: Array
    iou: Array


def measure(explainer: Explainer, data: AnnotatedFilms, image_size: int, cache: Path) -> dict[str, Measured]:
    """Figures of an explainer's methods on all annotated radiographs; results in ``cache`` are reused."""
    cache.mkdir(parents=True, exist_ok=True)
    shape = (len(explainer.names), len(data.films), len(FINDING_NAMES), _FIGURES + len(THRESHOLDS))
    found = np.full(shape, np.nan)
    marked = [index for index in range(len(data.films)) if data.marked(index)]
    for index in tqdm(marked, explainer.names[0], unit="film", leave=False):
        kept = cache / f"{index:05d}.pt"
        if not kept.exists():
            image = read_film(data.films.paths[index], image_size)
            save_atomically({"figures": torch.from_numpy(_film(explainer, data, index, image))}, kept)
        found[:, index] = torch.load(kept, weights_only=True)["figures"].numpy()
    return {
        name: Measured(figures[..., 0], figures[..., 1], figures[..., 2], figures[..., _FIGURES:])
        for name, figures in zip(explainer.names, found, strict=True)
    }


def localize(
    explainer: Explainer, data: AnnotatedFilms, image_size: int, resamples: int
) -> dict[str, dict[str, dict[str, Estimate]]]:
    """Figures without a threshold: method → ``hit_rate``, ``energy_inside``, ``precision_at_area`` → finding."""
    with TemporaryDirectory() as folder:
        measured = measure(explainer, data, image_size, Path(folder))
    return {
        name: {
            "hit_rate": estimates(figures.hits, resamples),
            "energy_inside": estimates(figures.energy, resamples),
            "precision_at_area": estimates(figures.precision, resamples),
        }
        for name, figures in measured.items()
    }


def _film(explainer: Explainer, data: AnnotatedFilms, index: int, image: Tensor) -> Array:
    """All figures of one radiograph: [methods, 14, figures]."""
    findings = data.marked(index)
    columns = [finding_index(name) for name in findings]
    figures = np.full((len(explainer.names), len(FINDING_NAMES), _FIGURES + len(THRESHOLDS)), np.nan)
    maps = explainer.maps(image, columns)
    for method, name in enumerate(explainer.names):
        for finding, column, saliency_map in zip(findings, columns, maps[name], strict=True):
            mask = data.annotations.mask(data.keys[index], finding)
            assert mask is not None  # noqa: S101 - ``marked`` guarantees it
            placed = place_square(saliency_map, mask.shape)
            figures[method, column, :_FIGURES] = (
                hit(placed, mask),
                energy_inside(placed, mask),
                precision_at_area(placed, mask),
            )
            figures[method, column, _FIGURES:] = iou_curve(placed, mask)
    return figures


@dataclass(frozen=True)
class Localization:
    """Figures of one method by finding, and ``mean`` over findings; see ``training.compare.localization``.

    ``network`` is the model that it explains. ``miou`` is over true positives, false positives and false negatives (the
    latter two count 0), ``miou_true_positives`` over true positives alone. Thresholds of the maps are tuned on
    validation radiographs; ``valid_iou`` is their mean IoU there, by which a map can be chosen.
    """

    network: str
    hit_rate: dict[str, Estimate]
    miou: dict[str, Estimate]
    miou_true_positives: dict[str, Estimate]
    energy_inside: dict[str, Estimate]
    precision_at_area: dict[str, Estimate]
    thresholds: dict[str, float]
    valid_iou: float


def summarize(
    network: str, valid: Measured, test: Measured, data: AnnotatedFilms, decided: NDArray[np.bool_], resamples: int
) -> Localization:
    """Summarise a method on the test radiographs ``data``; ``decided`` [N, 14] are the model's decisions."""
    best = tune(valid.iou)
    iou = np.take_along_axis(test.iou, np.nan_to_num(best)[None, :, None].astype(int), axis=2)[..., 0]  # [N, 14]
    marked = ~np.isnan(test.hits)
    absent = np.array([[data.absent(film, name) for name in FINDING_NAMES] for film in range(len(data.films))])
    true_positives = np.where(marked & decided, iou, np.nan)
    everything = np.where(marked, np.where(decided, iou, 0.0), np.where(absent & decided, 0.0, np.nan))
    everything[:, ~marked.any(axis=0)] = np.nan  # without annotations, false alarms alone say nothing
    return Localization(
        network,
        estimates(test.hits, resamples),
        estimates(everything, resamples),
        estimates(true_positives, resamples),
        estimates(test.energy, resamples),
        estimates(test.precision, resamples),
        {name: float(THRESHOLDS[int(best[c])]) for c, name in enumerate(FINDING_NAMES) if not np.isnan(best[c])},
        float(np.nanmean(np.nanmax(np.nanmean(valid.iou[:, ~np.isnan(best)], axis=0), axis=1))),
    )


def tune(iou: Array) -> Array:
    """The best threshold of each finding by mean IoU over annotated radiographs: [N, 14, T] → index [14], or NaN.

    Source: CheXlocalize also tunes on radiographs with the finding alone.
    """
    known = ~np.isnan(iou[..., 0])
    mean = np.nan_to_num(iou).sum(axis=0) / np.maximum(1, known.sum(axis=0))[:, None]
    return np.where(known.any(axis=0), mean.argmax(axis=1).astype(float), np.nan)


def estimates(values: Array, resamples: int, seed: int = 0) -> dict[str, Estimate]:
    """Mean over radiographs by finding, and the mean of these means: [N, 14] → by name, ``mean`` last."""
    samples = bootstrap_means(values, resamples, seed)
    present = [column for column in range(values.shape[1]) if not np.isnan(values[:, column]).all()]
    means = {column: float(np.nanmean(values[:, column])) for column in present}
    found = {FINDING_NAMES[column]: Estimate.of(means[column], samples[:, column]) for column in present}
    if present:
        found["mean"] = Estimate.of(float(np.mean(list(means.values()))), mean_samples(values, resamples, seed))
    return found


def mean_samples(values: Array, resamples: int, seed: int = 0) -> Array:
    """Bootstrap samples of the mean over findings: [N, 14] → [R]; equal seeds draw the same radiographs."""
    present = ~np.isnan(values).all(axis=0)
    samples = bootstrap_means(values[:, present], resamples, seed)
    known = ~np.isnan(samples)
    return np.nan_to_num(samples).sum(axis=1) / np.maximum(1, known.sum(axis=1))
