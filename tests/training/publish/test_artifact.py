"""What a published artifact states: measured figures, and provenance from the data sets' descriptions alone."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from app.patchnet import artifact, backbones
from app.patchnet.model import PatchNet
from tests.training.conftest import make_data, make_films, publish_one_step
from training import commands
from training.data.datasets import FilmDataset, read_films
from training.data.description import BY_LAYOUT, DatasetDescription
from training.fit.head import fit_head
from training.measure.inference import predict_logits
from training.measure.subgroups import Subgroup
from training.publish.artifact import Release, display_limit, publish, trained_findings
from training.publish.provenance import provenance

DESCRIPTION = DatasetDescription(
    name="Made radiographs",
    licence="public domain",
    weights_licence="MIT",
    attribution="Radiographs: nobody.",
    caveats=("They are noise.",),
    derived={"Enlarged Cardiomediastinum": "Cardiomegaly"},
    intended_use="Tests.",
)


@pytest.fixture(scope="module")
def held_out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("held-out")
    make_films(folder, "test", 48, seed=9)
    return read_films(folder / "test.csv")


@pytest.fixture
def published(recipe, small_data, held_out, tmp_path):
    return publish_fitted(recipe, small_data, held_out, tmp_path / "small")


def publish_fitted(recipe, small_data, held_out, directory):
    """Publish a model whose head is fitted; returns the result, the network and the test data."""
    torch.manual_seed(0)
    network = PatchNet(backbones.build_pretrained(recipe.backbone, 14), recipe.image_size, recipe.patch_size)
    train = read_films(small_data / "train.csv")
    fit_head(network, recipe.backbone, FilmDataset(train, recipe.image_size), penalty=0.001)
    release = Release(
        version="1",
        provenance=provenance(recipe, len(train), [DESCRIPTION]),
        trained=trained_findings([train]),
        left_out={"B": Subgroup(40, 9, 0.612)},
        experiments=[("what", "valid"), ("nothing", "0.500")],
    )
    valid, test = (FilmDataset(films, recipe.image_size) for films in (read_films(small_data / "valid.csv"), held_out))
    result = publish(network, recipe, valid, test, directory, release, device="cpu", resamples=50)
    return result, network, test


def test_a_published_artifact_is_calibrated_measured_and_loads(published):
    result, network, test = published
    loaded = artifact.load(result.directory)
    manifest = loaded.manifest
    by_name = {record.name: record for record in manifest.findings}
    assert by_name["Fracture"].status == "untrained"
    assert by_name["Edema"].status == "validated"
    assert by_name["Edema"].quality == result.test.findings["Edema"]
    assert by_name["Enlarged Cardiomediastinum"].status == "derived"
    assert set(by_name["Edema"].operating_points) == {"balanced", "sensitive", "specific"}
    assert manifest.default_operating_point == result.decided.default
    assert manifest.metrics["test.auroc.mean"] == result.test.mean_auroc
    assert manifest.metrics["test.positives_per_radiograph"] == result.decided.test[0].all
    assert (manifest.licence, manifest.display_limit > 0) == ("MIT", True)
    np.testing.assert_allclose(
        predict_logits(loaded.network, test, 4, "cpu"), predict_logits(network, test, 4, "cpu"), atol=1e-5
    )
    card = (result.directory / artifact.CARD).read_text()
    assert "| Edema | 24 / 24 |" in card
    assert "They are noise." in card
    assert "is made from the label of Cardiomegaly" in card
    assert "0.612 (B: 0.612 (40 radiographs, 9 findings))" in card
    assert "| nothing | 0.500 |" in card
    assert "| Sex: Female |" in card
    assert "| Edema | validated | test | 24 / 24 |" in card
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]*)\)", card)
    assert len(pictures) == 4
    for picture in pictures:
        assert (result.directory / picture).stat().st_size > 1000


@pytest.mark.parametrize("description", [BY_LAYOUT["chexpert"], None], ids=["chexpert", "none"])
def test_other_data_get_their_own_provenance_and_one_step_validates_nothing(recipe, tmp_path, description):
    (tmp_path / "chexpert").mkdir()
    folder = publish_one_step(make_data(tmp_path / "chexpert", description), recipe, tmp_path)
    manifest, card = artifact.read_manifest(folder), (folder / artifact.CARD).read_text()
    texts = [path.read_text() for path in folder.iterdir() if path.suffix in {".json", ".md", ".svg"}]
    everything = "\n".join([*texts, *(path.name for path in folder.iterdir())]).casefold()
    for foreign in ("nih", "chestx-ray14", "visual review"):
        assert foreign not in everything
    assert manifest.licence == "not stated"
    assert manifest.intended_use.startswith("Not stated.")
    assert ("Stanford" in card) == (description is not None)
    assert ("- Caveats: not stated" in card) == (description is None)
    assert "validated" not in {record.status for record in manifest.findings}


@pytest.mark.thorough
def test_test_labels_change_no_weight_and_no_threshold(published, recipe, small_data, held_out, tmp_path):
    flipped = replace(held_out, labels=1 - held_out.labels)
    other, _, _ = publish_fitted(recipe, small_data, flipped, tmp_path / "flipped")
    assert other.test.findings["Edema"].auroc < 0.5 < published[0].test.findings["Edema"].auroc
    weights = [(result.directory / artifact.WEIGHTS).read_bytes() for result in (published[0], other)]
    assert weights[0] == weights[1]
    one, two = (artifact.read_manifest(result.directory).findings for result in (published[0], other))
    assert [thresholds(record) for record in one] == [thresholds(record) for record in two]


def thresholds(record):
    return {name: point.threshold for name, point in record.operating_points.items()}


def test_operating_points_of_an_artifact_are_measured_again(published, small_data, held_out, tmp_path):
    directory = published[0].directory
    csv_file = held_out.paths[0].parent.parent / "test.csv"
    (tmp_path / "description.yaml").write_text("name: made\nderived: {Edema: Consolidation}\n")
    options = [tmp_path / "description.yaml"], tmp_path / "cache", "cpu", 50
    before = (directory / artifact.WEIGHTS).read_bytes()
    decided = commands.operating_points(str(directory), [csv_file], [csv_file], *options)
    manifest, card = artifact.read_manifest(directory), (directory / artifact.CARD).read_text()
    assert manifest.findings == decided.records
    by_name = {record.name: record for record in manifest.findings}
    assert by_name["Edema"].status == "derived"
    assert by_name["Pneumonia"].operating_points["balanced"].dataset == f"{csv_file.parent.name}/test"
    assert card.count("## Decisions") == 1
    assert f"{csv_file.parent.name}/test" in card
    assert (directory / artifact.WEIGHTS).read_bytes() == before
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_the_colour_scale_of_a_model_without_evidence_has_an_extent(held_out):
    network = PatchNet(backbones.build("efficientnet_lite0", 14), 64, 32)
    torch.nn.init.zeros_(network.backbone.get_submodule("classifier").weight)
    torch.nn.init.zeros_(network.backbone.get_submodule("classifier").bias)
    assert display_limit(network, FilmDataset(held_out, 64), 8, "cpu") == 0.1
