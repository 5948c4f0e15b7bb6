"""Faithfulness of every method on annotated pairs of a radiograph and a finding; results are cached by pair."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from app.patchnet.findings import FINDING_NAMES
from training.compare.faithfulness import STEPS, correlation, curves, stability
from training.compare.measured import AnnotatedFilms
from training.compare.setting import Family, Setting, kept
from training.data.datasets import read_film
from training.measure.metrics import Estimate, bootstrap_means
from training.saliency_methods import Explainer, Maps

Array = NDArray[np.float64]
Pair = tuple[int, int]

_SEED = 0
_STEADY_SHARE = 4  # stability needs many maps, so only the first quarter of the pairs has it
_FIGURES = 5  # gain, sufficiency, necessity, stability, random weights; then both curves
_LOGITS = [0, 1, 2, *range(_FIGURES, _FIGURES + 2 * (STEPS + 1))]  # figures in logits


@dataclass(frozen=True)
class Faithfulness:
    """Means over pairs of a radiograph and a finding; logits in standard deviations of the model's own logits.

    ``stability`` and ``random_weights`` are correlations: with the maps of the image shifted by 1 to 8 px (1 is best),
    and with those of a model with random weights (0 is best). The curves start at the whole image (``deletion``) and at
    the black image (``insertion``).
    """

    network: str
    gain: Estimate
    sufficiency: Estimate
    necessity: Estimate
    stability: Estimate
    random_weights: Estimate
    deletion: tuple[float, ...]
    insertion: tuple[float, ...]


def faithfulness(setting: Setting, data: AnnotatedFilms) -> Iterator[tuple[str, Faithfulness]]:
    """Figures by method; pairs that an interrupted call measured are reused."""
    pairs = _pairs(data, setting.pairs)
    for family in setting.families():
        subject = setting.subjects[family.network]
        explainer = family.explainer(subject)
        folder = setting.place("faithfulness", family, explainer.names)
        spread = setting.logits(family.network, data).std(axis=0)
        rows: list[Array] = []
        for number, pair in enumerate(tqdm(pairs, f"faithfulness: {family.label}", leave=False)):
            steady = number < len(pairs) // _STEADY_SHARE
            path = folder / f"{data.keys[pair[0]].replace('/', '_')}-{pair[1]}{'-steady' if steady else ''}.pt"
            make = partial(_pair, family, setting, explainer, data, pair, steady=steady)
            values = kept(path, make).copy()
            values[:, _LOGITS] /= spread[pair[1]]
            rows.append(values)
        for method, name in enumerate(explainer.names):
            yield name, _summary(family.network, np.stack(rows)[:, method], setting.resamples)


def _pair(
    family: Family, setting: Setting, explainer: Explainer, data: AnnotatedFilms, pair: Pair, *, steady: bool
) -> Array:
    """All figures of one pair, [methods, figures], in logits; NaN for figures that only some pairs have."""
    index, column = pair
    subject = setting.subjects[family.network]
    image = read_film(data.films.paths[index], subject.network.image_size)
    maps = explainer.maps(image, [column])
    moved: dict[str, float] = {}
    randomized: dict[str, Maps] = {}
    if steady:
        moved = stability(explainer, image, column)
        randomized = family.make(subject.randomized()).maps(image, [column])
    rows: list[Array] = []
    for name in explainer.names:
        part = curves(subject.passes, image, maps[name][0], column)
        unlike = abs(correlation(maps[name][0], randomized[name][0])) if steady else float("nan")
        figures = [part.gain, part.sufficiency, part.necessity, moved.get(name, float("nan")), unlike]
        rows.append(np.concatenate([figures, part.deletion, part.insertion]))
    return np.stack(rows)


def _pairs(data: AnnotatedFilms, count: int) -> list[Pair]:
    """Annotated pairs of a radiograph and a finding's column, drawn once for all methods."""
    marked = [(index, FINDING_NAMES.index(name)) for index in range(len(data.films)) for name in data.marked(index)]
    chosen = np.random.default_rng(_SEED).permutation(len(marked))[:count]
    return [marked[index] for index in chosen]


def _summary(network: str, values: Array, resamples: int) -> Faithfulness:
    """[pairs, figures] → their means with intervals."""
    figures = values[:, :_FIGURES]
    samples = bootstrap_means(figures, resamples, _SEED)
    means = [Estimate.of(float(np.nanmean(figures[:, i])), samples[:, i]) for i in range(_FIGURES)]
    deletion, insertion = np.split(values[:, _FIGURES:].mean(axis=0), 2)
    gain, sufficiency, necessity, steady, random = means
    both = tuple(deletion.tolist()), tuple(insertion.tolist())
    return Faithfulness(network, gain, sufficiency, necessity, steady, random, *both)
