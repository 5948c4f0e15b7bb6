"""Comparison of models and saliency methods on one data set: classification, localisation, faithfulness."""

from collections.abc import Iterator
from dataclasses import asdict, astuple, dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.errors import ConfigurationError
from app.patchnet.artifact import Artifact
from app.patchnet.model import PatchNet
from training.compare import shortcut
from training.compare.compiled import compiled
from training.compare.fidelity import Faithfulness, faithfulness
from training.compare.measured import AnnotatedFilms, Localization, mean_samples, measure, summarize
from training.compare.predicted import write_predicted
from training.compare.setting import FAMILIES, TRIVIAL, Family, Setting, kept
from training.data.datasets import FilmDataset, Films, read_films
from training.measure.evaluation import Evaluation, evaluate
from training.measure.metrics import Estimate
from training.saliency_methods import SMOOTHED

Array = NDArray[np.float64]

_SEED = 0


@dataclass(frozen=True)
class Contest:
    """The best patch map and the best post-hoc method by mean hit rate, and the ratio of these."""

    patch: str
    post_hoc: str
    hit_ratio: Estimate


@dataclass(frozen=True)
class Comparison:
    """All figures of a report. ``contests`` has one entry for the original maps and one for the smoothed maps."""

    classification: dict[str, Evaluation]
    localization: dict[str, Localization]
    contests: dict[str, Contest]
    faithfulness: dict[str, Faithfulness]
    shortcuts: dict[str, shortcut.Shortcut]
    annotated_films: int

    def as_json(self) -> dict[str, object]:
        """Every number, nested by name."""
        classification = {name: figures.as_json() for name, figures in self.classification.items()}
        return {**asdict(self), "classification": classification}


def compare(setting: Setting) -> Comparison:
    """Measure everything; results that an interrupted call left in ``work`` are reused.

    Raises ConfigurationError where no radiograph of a split is annotated.
    """
    valid, test = setting.valid.annotated(), setting.test.annotated()
    labels = test.films.labels.double().numpy()
    classification = {
        name: evaluate(name, setting.logits(name, test), labels, subject.thresholds, resamples=setting.resamples)
        for name, subject in setting.subjects.items()
        if name != TRIVIAL
    }
    localization, hits = _localization(setting, valid, test)
    return Comparison(
        classification,
        localization,
        dict(_contests(localization, hits, setting.resamples)),
        dict(faithfulness(setting, test)),
        dict(_shortcuts(setting)),
        sum(bool(test.marked(index)) for index in range(len(test.films))),
    )


def export_method(setting: Setting, comparison: Comparison, name: str, out: Path) -> None:
    """Write one method's maps and segmentations of the test radiographs, see ``write_predicted``.

    Raises ConfigurationError, listing the methods, for an unknown one.
    """
    if name not in comparison.localization:
        known = ", ".join(comparison.localization)
        raise ConfigurationError(f"no such method: '{name}'; known are: {known}")
    test = setting.test.annotated()
    for family in setting.families():
        subject = setting.subjects[family.network]
        explainer = family.explainer(subject)
        if name in explainer.names:
            logits = setting.logits(family.network, test)
            limits = comparison.localization[name].thresholds
            write_predicted(
                explainer, name, test, logits, subject.decided(logits), limits, subject.network.image_size, out
            )


def _localization(
    setting: Setting, valid: AnnotatedFilms, test: AnnotatedFilms
) -> tuple[dict[str, Localization], dict[str, Array]]:
    """Figures by method, and its hits [N, 14]."""
    found: dict[str, Localization] = {}
    hits: dict[str, Array] = {}
    for family in setting.families():
        subject = setting.subjects[family.network]
        explainer, size = family.explainer(subject), subject.network.image_size
        folder = setting.place("maps", family, explainer.names)
        on_test = measure(explainer, test, size, folder / "test")
        on_valid = measure(explainer, valid, size, folder / "valid")
        decided = subject.decided(setting.logits(family.network, test))
        for name in explainer.names:
            found[name] = summarize(family.network, on_valid[name], on_test[name], test, decided, setting.resamples)
            hits[name] = on_test[name].hits
    return found, hits


def _contests(
    localization: dict[str, Localization], hits: dict[str, Array], resamples: int
) -> Iterator[tuple[str, Contest]]:
    """Ratios of the best patch map and the best post-hoc map, on the same bootstrap resamples."""

    def rate(name: str) -> float:
        return localization[name].hit_rate["mean"].value

    for label, is_smoothed in (("as made", False), ("smoothed", True)):
        rivals = [name for name in localization if name.endswith(SMOOTHED) == is_smoothed]
        patch, post_hoc = (
            max((name for name in rivals if localization[name].network == network), key=rate)
            for network in ("patch", "image")
        )
        samples = [mean_samples(hits[name], resamples, _SEED) for name in (patch, post_hoc)]
        with np.errstate(divide="ignore", invalid="ignore"):
            value = rate(patch) / rate(post_hoc) if rate(post_hoc) else float("nan")
            yield label, Contest(patch, post_hoc, Estimate.of(value, samples[0] / samples[1]))


def _shortcuts(setting: Setting) -> Iterator[tuple[str, shortcut.Shortcut]]:
    """One half of the validation radiographs trains the marker, the other half measures it."""
    films = read_films(setting.valid.films)
    for network, artifact in (("patch", setting.patch), ("image", setting.image)):
        size, half = artifact.manifest.image_size, len(films) // 2
        teaching = films.where(range(half))
        showing = films.where(range(half, min(len(films), half + setting.pairs * 2)))

        @cache
        def student(artifact: Artifact = artifact, films: Films = teaching, size: int = size) -> PatchNet:
            marked = shortcut.Marked(FilmDataset(films, size), seed=1)
            return shortcut.taught(artifact.network, artifact.manifest.backbone, marked)

        for family in (family for family in FAMILIES if family.network == network):

            def measured(family: Family = family, films: Films = showing, size: int = size) -> Array:
                taught = student() if family.gradients else compiled(student())
                shown = shortcut.Marked(FilmDataset(films, size), seed=2)
                return np.array([astuple(found) for found in shortcut.measure(taught, shown, family.make).values()])

            methods = family.make(artifact.network).names
            figures = kept(setting.place("shortcut", family, methods) / f"{len(showing)}.pt", measured)
            yield from zip(methods, (shortcut.Shortcut(*row) for row in figures.tolist()), strict=True)
