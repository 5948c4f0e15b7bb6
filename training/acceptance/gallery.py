"""The radiographs that a model judges worst, with its evidence."""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from app.patchnet.findings import FINDING_NAMES
from app.patchnet.manifest import Manifest
from app.patchnet.preprocessing import to_model_image
from training.acceptance.observed import Observed
from training.data.datasets import Films, film_pixels
from training.publish.figures import evidence_picture

_MOST_PICTURES, _MOST_OF_A_FINDING = 12, 2


@dataclass(frozen=True)
class WorstFilm:
    """A film whose label a model contradicts most: its path, the label, the probability, and the evidence as PNG."""

    path: str
    finding: str
    label: int
    probability: float
    picture: bytes


def worst_films(observed: Observed, films: Films, manifest: Manifest) -> list[WorstFilm]:
    """The largest errors, at most two of a finding and one of a film."""
    probabilities = expit(observed.logits)
    errors = np.nan_to_num(np.abs(observed.labels - probabilities), nan=-1.0)
    errors[:, [record.status == "untrained" for record in manifest.findings]] = -1.0
    chosen: list[tuple[int, int]] = []
    for index, column in zip(*np.unravel_index(np.argsort(-errors, axis=None), errors.shape), strict=True):
        if errors[index, column] < 0.5 or len(chosen) == _MOST_PICTURES:
            break
        of_finding = sum(other == column for _, other in chosen)
        if of_finding < _MOST_OF_A_FINDING and all(other != index for other, _ in chosen):
            chosen.append((int(index), int(column)))
    return [_worst(observed, films, manifest, index, column) for index, column in chosen]


def _worst(observed: Observed, films: Films, manifest: Manifest, index: int, column: int) -> WorstFilm:
    path, name = films.paths[index], FINDING_NAMES[column]
    pixels = film_pixels(path.read_bytes())
    geometry = to_model_image(pixels, manifest.image_size).geometry
    probability = float(expit(observed.logits[index, column]))
    evidence = observed.patch_logits[index, :, column]
    picture = evidence_picture(pixels, geometry, evidence, manifest.display_limit, f"{name} {probability:.0%}")
    return WorstFilm(str(path), name, int(observed.labels[index, column]), probability, picture)
