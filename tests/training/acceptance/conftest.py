"""A small artifact, and made results of it on radiographs whose labels follow known probabilities."""

import numpy as np
import pytest

from app.patchnet import artifact
from app.patchnet.findings import FINDING_NAMES
from tests.artifacts import records_with_points, save_small_artifact
from training.acceptance.observed import Observed

EDEMA, FRACTURE, LESION = (FINDING_NAMES.index(name) for name in ("Edema", "Fracture", "Lung Lesion"))


def observed_films(films: int = 400, seed: int = 0, scale: float = 3.0, shift: float = 1.5) -> Observed:
    """Logits that are ``scale`` · z + ``shift`` where labels follow sigmoid(z): over-confident and biased.

    Lung Lesion is noise, Fracture has no labels. Four patches for each film, two films for each patient.
    """
    generator = np.random.default_rng(seed)
    truth = generator.normal(-0.5, 2.0, (films, 14))
    labels = (generator.random((films, 14)) < 1 / (1 + np.exp(-truth))).astype(float)
    labels[:, LESION] = generator.integers(0, 2, films)
    labels[:, FRACTURE] = np.nan
    spread = generator.normal(0, 1, (films, 4, 14))
    patch_logits = scale * truth[:, None] + shift + spread - spread.mean(axis=1, keepdims=True)
    hashes = tuple(f"{seed}-{index}" for index in range(films))
    return Observed(patch_logits.astype(np.float32), labels, hashes, np.arange(films) // 2)


@pytest.fixture(scope="session")
def small_model(tmp_path_factory):
    """An artifact whose threshold for Edema keeps what it states, and that for Pneumonia does not."""
    statuses = {
        "Edema": ("validated", {"balanced": 0.5}),
        "Pneumonia": ("validated", {"balanced": 0.5}),
        "Enlarged Cardiomediastinum": ("derived", {}),
    }
    records = [
        record.model_copy(update={"operating_points": _stating(record.operating_points, record.name)})
        for record in records_with_points(statuses)
    ]
    return save_small_artifact(tmp_path_factory.mktemp("models"), "small", findings=tuple(records))


def _stating(points, name):
    stated = {"Edema": {"sensitivity": 0.5}, "Pneumonia": {"specificity": 0.99}}.get(name, {})
    return {point: value.model_copy(update=stated) for point, value in points.items()}


@pytest.fixture
def manifest(small_model):
    return artifact.read_manifest(small_model)
