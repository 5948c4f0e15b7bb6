"""Two networks and all methods side by side on one data set: classification, localisation, faithfulness."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from app.errors import ConfigurationError
from app.patchnet.artifact import Artifact
from app.patchnet.findings import FINDING_NAMES
from training.baselines.evidence import PrototypeEvidence
from training.baselines.fitted import BASELINES
from training.compare import shortcut
from training.compare.annotations import read_annotations
from training.compare.attribution import ActivationMaps, Explainer, Floors, Gradients, Maps, Occluded, PatchEvidence
from training.compare.faithfulness import correlation, curves, stability
from training.compare.measured import AnnotatedFilms, Localization, mean_samples, measure, summarize
from training.compare.predicted import write_predicted
from training.compare.subjects import Subject, prototype_networks, shipped
from training.datasets import FilmDataset, read_film, read_films
from training.evaluation import Evaluation, evaluate
from training.metrics import Estimate, bootstrap_means

Array = NDArray[np.float64]

_SEED = 0
_FLOOR = "none"
_STEADY_SHARE = 4  # stability costs many maps, so it is measured on the first quarter of the pairs


@dataclass(frozen=True)
class Family:
    """Methods that share their passes; ``network`` is what they explain, ``none`` for the floors."""

    network: str
    label: str
    make: Callable[[Any], Explainer]


FAMILIES = (
    Family(_FLOOR, "floors", lambda _: Floors()),
    Family("patch", "patch", PatchEvidence),
    Family("image", "activation", ActivationMaps),
    Family("image", "gradients", Gradients),
    Family("image", "occlusion", Occluded),
    *(Family(name, name, partial(PrototypeEvidence, name=name)) for name in BASELINES),
)


@dataclass(frozen=True)
class Split:
    """A CSV file of films, and annotations of them."""

    films: Path
    annotations: Path


@dataclass(frozen=True)
class Setting:
    """What is compared.

    ``train`` is the CSV file of the films that the prototype networks learn from; without it they are left out.
    ``pairs`` marked pairs of a film and a finding are used for faithfulness, ``resamples`` draws make an interval.
    ``work`` keeps what was measured.
    """

    patch: Artifact
    image: Artifact
    valid: Split
    test: Split
    work: Path
    train: Path | None = None
    resamples: int = 10_000
    pairs: int = 24

    def subjects(self) -> dict[str, Subject]:
        """The networks by the names that families use; the floors share the patch network's decisions."""
        patch = shipped(self.patch)
        found = {_FLOOR: patch, "patch": patch, "image": shipped(self.image)}
        if self.train is not None:
            found |= prototype_networks(self.image, self.train, read_films(self.valid.films), self.work)
        return found

    def families(self) -> list[Family]:
        """The methods that are compared."""
        return [family for family in FAMILIES if self.train is not None or family.network not in BASELINES]


@dataclass(frozen=True)
class Faithfulness:
    """Means over pairs of a film and a finding; logits in standard deviations of the network's own logits.

    ``stability`` and ``random_weights`` are correlations: with the maps of the film moved by 1 to 8 px (1 is best), and
    with those of a network of random weights (0 is best).
    """

    network: str
    gain: Estimate
    sufficiency: Estimate
    necessity: Estimate
    stability: Estimate
    random_weights: Estimate


@dataclass(frozen=True)
class Comparison:
    """All figures of a report. ``hit_ratio`` is the best patch map's mean hit rate over the best post-hoc method's."""

    classification: dict[str, Evaluation]
    localization: dict[str, Localization]
    hit_ratio: Estimate
    best_methods: tuple[str, str]
    faithfulness: dict[str, Faithfulness]
    shortcuts: dict[str, shortcut.Shortcut]

    def as_json(self) -> dict[str, object]:
        """Every number, nested by name."""
        classification = {name: figures.as_json() for name, figures in self.classification.items()}
        return {**asdict(self), "classification": classification}


def compare(setting: Setting) -> Comparison:
    """Measure everything; what an interrupted call left in ``work`` is not measured again.

    Raises ConfigurationError where no film of a split is annotated.
    """
    valid, test, subjects = annotated(setting.valid), annotated(setting.test), setting.subjects()
    logits = {name: subject.logits(test.films) for name, subject in subjects.items() if name != _FLOOR}
    labels = test.films.labels.double().numpy()
    classification = {
        name: evaluate(name, values, labels, subjects[name].thresholds, resamples=setting.resamples)
        for name, values in logits.items()
    }
    logits[_FLOOR] = logits["patch"]
    localization, hits = _localization(setting, subjects, valid, test, logits)
    ratio, methods = _hit_ratio(localization, hits, setting.resamples)
    pairs = _pairs(test, setting.pairs)
    faithfulness = dict(_faithfulness(setting, subjects, test, pairs, logits))
    return Comparison(classification, localization, ratio, methods, faithfulness, dict(_shortcuts(setting)))


def export_method(setting: Setting, comparison: Comparison, name: str, out: Path) -> None:
    """Write one method's maps and segmentations of the test films, see ``write_predicted``.

    Raises ConfigurationError, listing the methods, for an unknown one.
    """
    if name not in comparison.localization:
        known = ", ".join(comparison.localization)
        raise ConfigurationError(f"no such method: '{name}'; known are: {known}")
    subjects, test = setting.subjects(), annotated(setting.test)
    for family in setting.families():
        subject = subjects[family.network]
        explainer = family.make(subject.network)
        if name in explainer.names:
            logits = subject.logits(test.films)
            limits = comparison.localization[name].thresholds
            write_predicted(
                explainer, name, test, logits, subject.decided(logits), limits, subject.network.image_size, out
            )


def annotated(split: Split) -> AnnotatedFilms:
    """The films of a split with their annotations. Raises ConfigurationError where nothing is marked."""
    data = AnnotatedFilms.of(read_films(split.films), split.films, read_annotations(split.annotations))
    if not any(data.marked(index) for index in range(len(data.films))):
        raise ConfigurationError(f"{split.annotations} marks nothing on the films of {split.films}")
    return data


def _localization(
    setting: Setting,
    subjects: dict[str, Subject],
    valid: AnnotatedFilms,
    test: AnnotatedFilms,
    logits: dict[str, Array],
) -> tuple[dict[str, Localization], dict[str, Array]]:
    """Figures by method, and its hits [N, 14]."""
    found: dict[str, Localization] = {}
    hits: dict[str, Array] = {}
    for family in setting.families():
        subject = subjects[family.network]
        explainer, size = family.make(subject.network), subject.network.image_size
        cache = setting.work / f"{family.label}-{subject.key}"
        on_valid = measure(explainer, valid, size, cache / "valid")
        on_test = measure(explainer, test, size, cache / "test")
        decided = subject.decided(logits[family.network])
        for name in explainer.names:
            found[name] = summarize(family.network, on_valid[name], on_test[name], test, decided, setting.resamples)
            hits[name] = on_test[name].hits
    return found, hits


def _hit_ratio(
    localization: dict[str, Localization], hits: dict[str, Array], resamples: int
) -> tuple[Estimate, tuple[str, str]]:
    """The ratio of the best of either kind, on the same resamples of the same films."""

    def best(network: str) -> str:
        names = [name for name, figures in localization.items() if figures.network == network]
        return max(names, key=lambda name: localization[name].hit_rate["mean"].value)

    methods = best("patch"), best("image")
    upper, lower = (localization[name].hit_rate["mean"].value for name in methods)
    samples = [mean_samples(hits[name], resamples, _SEED) for name in methods]
    with np.errstate(divide="ignore", invalid="ignore"):
        return Estimate.of(upper / lower if lower else float("nan"), samples[0] / samples[1]), methods


def _pairs(data: AnnotatedFilms, count: int) -> list[tuple[int, int]]:
    """Some marked pairs of a film and a finding's column, drawn once for all methods."""
    marked = [(index, FINDING_NAMES.index(name)) for index in range(len(data.films)) for name in data.marked(index)]
    chosen = np.random.default_rng(_SEED).permutation(len(marked))[:count]
    return [marked[index] for index in chosen]


def _faithfulness(
    setting: Setting,
    subjects: dict[str, Subject],
    data: AnnotatedFilms,
    pairs: list[tuple[int, int]],
    logits: dict[str, Array],
) -> Iterator[tuple[str, Faithfulness]]:
    for family in setting.families():
        subject = subjects[family.network]
        explainer, unlearnt = family.make(subject.network), family.make(subject.unlearnt())
        figures: dict[str, list[list[float]]] = {name: [] for name in explainer.names}
        for number, (index, column) in enumerate(tqdm(pairs, f"faithfulness: {family.label}", leave=False)):
            image = read_film(data.films.paths[index], subject.network.image_size)
            maps = explainer.maps(image, [column])
            steady: dict[str, float] = {}
            others: dict[str, Maps] = {}
            if number < len(pairs) // _STEADY_SHARE:
                steady, others = stability(explainer, image, column), unlearnt.maps(image, [column])
            for name in explainer.names:
                part = curves(subject.network, image, maps[name][0], column)
                learnt = (
                    np.array([part.gain, part.sufficiency, part.necessity]) / logits[family.network][:, column].std()
                )
                unlike = abs(correlation(maps[name][0], others[name][0])) if name in others else float("nan")
                figures[name].append([*learnt, steady.get(name, float("nan")), unlike])
        for name, rows in figures.items():
            values = np.array(rows)
            samples = bootstrap_means(values, setting.resamples, _SEED)
            means = [Estimate.of(float(np.nanmean(values[:, i])), samples[:, i]) for i in range(values.shape[1])]
            yield name, Faithfulness(family.network, *means)


def _shortcuts(setting: Setting) -> Iterator[tuple[str, shortcut.Shortcut]]:
    """Half of the validation films teach the marker, the other half show whether it was learnt and is shown."""
    films = read_films(setting.valid.films)
    for network in ("patch", "image"):
        artefact = setting.patch if network == "patch" else setting.image
        size, half = artefact.manifest.image_size, len(films) // 2
        taught = shortcut.Marked(FilmDataset(films.where(range(half)), size), seed=1)
        shown = shortcut.Marked(
            FilmDataset(films.where(range(half, min(len(films), half + setting.pairs * 2))), size), 2
        )
        student = shortcut.taught(artefact.network, artefact.manifest.backbone, taught)
        for family in FAMILIES:
            if family.network == network:
                yield from shortcut.measure(student, shown, family.make).items()
