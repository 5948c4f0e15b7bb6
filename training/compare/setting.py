"""The setting of a comparison: models, methods, radiographs, and the cache of results."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from app.errors import ConfigurationError
from app.patchnet.artifact import Artifact
from training.baselines.evidence import PrototypeEvidence
from training.baselines.fitted import BASELINES
from training.compare.annotations import read_annotations
from training.compare.measured import AnnotatedFilms
from training.compare.subjects import Subject, prototype_networks, shipped
from training.data.datasets import read_films
from training.files import save_atomically
from training.saliency_methods import (
    ActivationMaps,
    Explainer,
    Gradients,
    Occluded,
    PatchEvidence,
    TrivialBaselines,
    WithSmoothed,
)

Array = NDArray[np.float64]

TRIVIAL = "none"
"""Name of the model that trivial baselines explain."""


@dataclass(frozen=True)
class Family:
    """Methods that share forward passes; ``network`` is the model that they explain, ``none`` for trivial baselines.

    ``gradients``: whether they need gradients; the others use the compiled model.
    """

    network: str
    label: str
    make: Callable[[Any], Explainer]
    gradients: bool = False

    def explainer(self, subject: Subject) -> Explainer:
        """The methods for a model."""
        return self.make(subject.network if self.gradients else subject.passes)


def _prototypes(network: Any, name: str) -> Explainer:  # noqa: ANN401 - as Family has it
    return WithSmoothed(PrototypeEvidence(network, name=name))


FAMILIES = (
    Family(TRIVIAL, "trivial", lambda _: WithSmoothed(TrivialBaselines())),
    Family("patch", "patch", PatchEvidence),
    Family("image", "activation", lambda network: WithSmoothed(ActivationMaps(network)), gradients=True),
    Family("image", "gradients", lambda network: WithSmoothed(Gradients(network)), gradients=True),
    *(Family(name, name, partial(_prototypes, name=name)) for name in BASELINES),
    Family("image", "occlusion", Occluded),
)


@dataclass(frozen=True)
class Split:
    """A CSV file of radiographs and the file of their annotations."""

    films: Path
    annotations: Path

    def annotated(self) -> AnnotatedFilms:
        """The radiographs with their annotations. Raises ConfigurationError where none is annotated."""
        data = AnnotatedFilms.of(read_films(self.films), self.films, read_annotations(self.annotations))
        if not any(data.marked(index) for index in range(len(data.films))):
            raise ConfigurationError(f"{self.annotations} marks nothing on the films of {self.films}")
        return data


@dataclass(frozen=True)
class Setting:
    """The two models and the data of a comparison.

    ``train`` is the CSV file of the training radiographs of ProtoPNet and PIPNet; without it they are left out.
    Faithfulness uses ``pairs`` annotated pairs of a radiograph and a finding; intervals use ``resamples`` bootstrap
    resamples. ``work`` is the cache of results.
    """

    patch: Artifact
    image: Artifact
    valid: Split
    test: Split
    work: Path
    train: Path | None = None
    resamples: int = 10_000
    pairs: int = 24

    @cached_property
    def subjects(self) -> dict[str, Subject]:
        """The models by the names that families use; trivial baselines use the patch model's decisions."""
        patch = shipped(self.patch)
        found = {TRIVIAL: patch, "patch": patch, "image": shipped(self.image)}
        if self.train is not None:
            found |= prototype_networks(self.image, self.train, read_films(self.valid.films), self.work)
        return found

    def families(self) -> list[Family]:
        """The methods of this comparison."""
        return [family for family in FAMILIES if self.train is not None or family.network not in BASELINES]

    def logits(self, network: str, films: AnnotatedFilms) -> Array:
        """A model's logits on radiographs, [N, 14]; computed once."""
        subject = self.subjects[network]
        shown = "patch" if network == TRIVIAL else network
        path = self.work / f"logits-{shown}-{subject.key}-{named(films.keys)}.pt"
        return kept(path, lambda: subject.logits(films.films))

    def place(self, what: str, family: Family, methods: Sequence[str]) -> Path:
        """The cache folder of a family's results, named by all that they depend on."""
        return self.work / f"{what}-{family.label}-{self.subjects[family.network].key}-{named(methods)}"


def kept(path: Path, measure: Callable[[], Array]) -> Array:
    """An array from its file, which is measured and written if it is missing."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        save_atomically({"figures": torch.from_numpy(measure())}, path)
    figures: Array = torch.load(path, weights_only=True)["figures"].numpy()
    return figures


def named(words: Sequence[str]) -> str:
    """A short hash of a list of words, for file names."""
    return f"{zlib.crc32(chr(10).join(words).encode()):08x}"
