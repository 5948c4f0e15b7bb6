"""Drift metrics: labels from closed sets, and the manifest's reference beside what is served."""

import re

import pytest
from fastapi.testclient import TestClient

from app.imaging.radiograph import ImageFacts
from app.patchnet import artifact
from app.patchnet.manifest import REGIONS
from app.patchnet.reference import EDGES
from app.runtime.application import create_app
from app.service.drift import origin_of
from app.settings import Settings
from tests import factories as make
from tests.artifacts import save_small_artifact
from training.measure.drift_reference import reference_of


class Images(list):
    """Two model images, as a data set."""


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    import torch

    folder = save_small_artifact(tmp_path_factory.mktemp("models"), "one")
    loaded = artifact.load(folder)
    images = Images((torch.full((1, 128, 128), value, dtype=torch.uint8), torch.zeros(14)) for value in (7, 99))
    before = artifact.read_manifest(folder)
    reference = reference_of(loaded.network, images, "two films", list(range(14)), "cpu")
    artifact.amend(folder, before.model_copy(update={"reference": reference}))
    settings = Settings(models_dir=folder.parent, model="one", decode_workers=1, device="cpu", engine="torch")
    with TestClient(create_app(settings)) as client:
        yield client


def samples(client, name):
    lines = re.findall(rf"^medpatchnet_{name}\{{(.*)\}} (\S+)$", client.get("/metrics").text, re.MULTILINE)
    return {labels: float(value) for labels, value in lines}


def test_the_reference_has_the_labels_of_the_live_histogram(client):
    client.post("/predict", content=make.chest_dicom())
    reference, live = samples(client, "reference_probability"), samples(client, "probability_bucket")
    assert len(reference) == 14 * len(EDGES)
    assert {labels.replace("up_to=", "le=") for labels in reference} <= set(live)
    assert set(samples(client, "reference_evidence_share")) == {f'region="{region}"' for region in REGIONS}


def test_the_shares_of_one_film_add_to_one(client):
    before = sum(samples(client, "evidence_share_total").values())
    client.post("/predict", content=make.png_file(make.film_8bit()))
    after = samples(client, "evidence_share_total")
    assert sum(after.values()) == pytest.approx(before + 1)
    assert any('source="png"' in labels for labels in after)


@pytest.mark.parametrize(
    ("facts", "source"),
    [
        (ImageFacts("dicom", 1, 1, modality="CR"), "cr"),
        (ImageFacts("dicom", 1, 1, modality="DX"), "dx"),
        (ImageFacts("dicom", 1, 1, modality="DOE^JOHN"), "other_dicom"),
        (ImageFacts("dicom", 1, 1), "other_dicom"),
        (ImageFacts("jpeg", 1, 1), "jpeg"),
    ],
)
def test_the_source_is_never_what_the_file_says(facts, source):
    assert origin_of(facts) == source


def test_the_shipped_model_has_a_reference(pytestconfig):
    reference = artifact.read_manifest(pytestconfig.rootpath / "models/chest-lite0").reference
    assert reference is not None
    assert reference.films >= 200
