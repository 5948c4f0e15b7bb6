"""A new version of an artifact from a judged one: calibrated, decided by the rules, and with its history."""

import csv

import numpy as np
import pytest
import torch
from scipy.special import expit

from app.errors import ConfigurationError
from app.files import sha256_of
from app.patchnet import artifact
from tests.training.acceptance.conftest import EDEMA, observed_films
from tests.training.conftest import make_films
from training import commands
from training.acceptance.adopted import adopt, calibrate
from training.acceptance.adoption_section import with_adoption
from training.acceptance.report import Accepted
from training.measure.metrics import calibration_error

FILMS = 2_000


def accepted(model, observed):
    manifest = artifact.read_manifest(model)
    return Accepted(model, manifest.weights_sha256, "site/films", observed.fingerprint, observed, {})


@pytest.fixture(scope="module")
def new(small_model, tmp_path_factory):
    """The adopted artifact of the films, and the decisions that were made."""
    out = tmp_path_factory.mktemp("adopted") / "small-site"
    done = adopt(accepted(small_model, observed_films(FILMS)), out, "0-site.1", "the command", 300)
    return artifact.load(out), done


def records(loaded):
    return {record.name: record for record in loaded.manifest.findings}


def test_statuses_follow_the_rules(new):
    found = records(new[0])
    assert found["Edema"].status == found["Cardiomegaly"].status == "validated"
    assert found["Lung Lesion"].status == "weak"
    assert found["Enlarged Cardiomediastinum"].status == "derived"
    assert found["Fracture"].status == "imported"
    assert found["Edema"].quality.dataset == "site/films"
    assert set(found["Edema"].operating_points) == {"balanced", "sensitive", "specific"}


def test_of_eighteen_films_nothing_is_validated(small_model, tmp_path):
    done = adopt(accepted(small_model, observed_films(18)), tmp_path / "few", "1", "the command", 300)
    assert "validated" not in {record.status for record in done.decided.records}
    before = artifact.load(small_model).network.backbone.state_dict()
    after = artifact.load(tmp_path / "few").network.backbone.state_dict()
    assert all(torch.equal(after[key], before[key]) for key in before)


def test_the_calibration_is_in_the_weights(new, small_model):
    loaded, before = new[0], artifact.load(small_model)
    calibrated = calibrate(observed_films(FILMS))
    image = torch.rand(3, 1, 128, 128)
    with torch.inference_mode():
        wanted = before.network.patch_logits(image).numpy() * calibrated.slopes + calibrated.intercepts
        np.testing.assert_allclose(loaded.network.patch_logits(image).numpy(), wanted, atol=1e-4)


def test_other_films_of_the_site_are_calibrated_and_the_ppv_is_as_stated(new):
    fitted = calibrate(observed_films(FILMS))
    other = observed_films(4_000, seed=1)
    labels = other.labels[:, EDEMA]
    probabilities = expit(other.logits[:, EDEMA] * fitted.slopes[EDEMA] + fitted.intercepts[EDEMA])
    assert calibration_error(probabilities, labels) < 0.05 < calibration_error(expit(other.logits[:, EDEMA]), labels)
    for point in records(new[0])["Edema"].operating_points.values():
        called = probabilities >= point.threshold
        assert labels[called].mean() == pytest.approx(point.ppv, abs=0.06)


def test_the_history_is_a_chain_to_the_weights_it_came_from(new, small_model):
    step = new[0].manifest.history[-1]
    parent = artifact.read_manifest(small_model)
    assert (step.source, step.source_sha256) == ("small 0", parent.weights_sha256)
    assert step.source_manifest_sha256 == sha256_of(small_model / artifact.MANIFEST)
    assert (step.films, step.films_sha256) == (FILMS, observed_films(FILMS).fingerprint)
    assert step.command == "the command"
    card = (new[0].directory / artifact.CARD).read_text()
    assert "## Local acceptance" in card
    assert parent.weights_sha256 in card


def test_the_card_has_the_name_and_version_of_the_new_artifact(new):
    card = with_adoption("# Model card: another 7\n\nText.\n", new[0].manifest, (0.1, 0.1))
    assert card.startswith(f"# Model card: {new[0].manifest.name} {new[0].manifest.version}\n\nText.")


def test_what_was_measured_with_other_weights_is_dropped(new):
    manifest = new[0].manifest
    assert (manifest.precisions, manifest.strides) == ((), ())
    assert manifest.reference.dataset == "site/films"
    assert manifest.metrics["local.calibration_error.after"] < manifest.metrics["local.calibration_error.before"]


def test_an_existing_artifact_is_never_replaced(small_model):
    with pytest.raises(ConfigurationError, match="folder of its own"):
        adopt(accepted(small_model, observed_films(18)), small_model, "1", "the command")


def with_bad_files(data):
    """The films of a CSV file in one folder, one of them unreadable and one twice."""
    rows = list(csv.DictReader((data / "films.csv").read_text().splitlines()))
    (data / rows[0]["Path"]).write_bytes(b"not a picture")
    (data / "films" / "copy.png").write_bytes((data / rows[1]["Path"]).read_bytes())
    rows.append({**rows[1], "Path": "films/copy.png"})
    with (data / "films.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return [data / row["Path"] for row in rows]


@pytest.mark.thorough
def test_from_films_to_an_adopted_artifact(small_model, tmp_path):
    make_films(tmp_path, "films", 44, seed=5)
    paths = with_bad_files(tmp_path)
    acceptance, page = commands.validate(
        str(small_model), tmp_path / "films.csv", None, tmp_path / "report", 100, "cpu", gallery=True
    )
    assert acceptance.films == 43
    assert set(acceptance.refused) == {str(paths[0]), str(paths[-1])}
    assert "the same file as" in acceptance.refused[str(paths[-1])]
    text = page.read_text()
    assert "http" not in text.replace("http://www.w3.org", "").replace("https://matplotlib.org", "").replace(
        "http://purl.org", ""
    ).replace("http://creativecommons.org", "")
    assert "data:image/png" in text
    done = commands.adopt(tmp_path / "report", tmp_path / "new", "1")
    assert artifact.load(done.directory).manifest.history[-1].films == 43
    with pytest.raises(ConfigurationError, match="run `validate` first"):
        commands.adopt(tmp_path, tmp_path / "other", "1")
