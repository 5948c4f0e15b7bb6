"""The same results in Python as over HTTP."""

import json
import subprocess
import sys
from datetime import datetime

import numpy as np
import pytest
from fastapi.testclient import TestClient

from app import load
from app.errors import ArtifactError, EmptyBody, InvalidQuery, MalformedRequest, UnknownFinding
from app.runtime.application import create_app
from app.settings import Settings
from tests.artifacts import records_with_points, save_small_artifact
from tests.factories import chest_dicom

FILM = chest_dicom()


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    points = ("validated", {"balanced": 0.001, "specific": 0.999})
    save_small_artifact(folder, "one", findings=records_with_points({"Edema": points, "Fracture": ("untrained", {})}))
    return Settings(models_dir=folder, device="cpu", decode_workers=1, model="one")


@pytest.fixture(scope="module")
def model(settings):
    with load("one", settings=settings) as loaded:
        yield loaded


@pytest.fixture(scope="module")
def client(settings):
    with TestClient(create_app(settings)) as opened:
        yield opened


def stable(body):
    """A body without what differs from request to request."""
    return {key: value for key, value in body.items() if key not in {"request_id", "timing_ms"}}


def test_a_prediction_is_that_of_the_service(model, client, tmp_path):
    file = tmp_path / "film.dcm"
    file.write_bytes(FILM)
    result = model.predict(file)
    assert stable(json.loads(result.json())) == stable(client.post("/predict", content=FILM).json())
    assert result["edema"] is result.findings[5]
    assert result.positives == ("Edema",)
    assert result.evidence.shape == (14, 2, 2)
    assert result.evidence[5].mean(dtype=np.float64) == pytest.approx(result["Edema"].logit)
    assert model.predict(str(file), operating_point="specific").positives == ()


def test_an_explanation_is_that_of_the_service(model, client):
    explanation = model.explain(FILM, "Edema", offset=32, legend=True)
    query = "/explain?class=Edema&offset=32"
    assert stable(json.loads(explanation.json())) == stable(client.post(query, content=FILM).json())
    assert explanation.png() == client.post(f"{query}&format=png&legend=true", content=FILM).content
    assert explanation.overlay().size[0] > 0
    assert (explanation.grid.shape, explanation.saliency_map.shape) == ((2, 2), (128, 128))
    assert explanation.grid_mean == pytest.approx(explanation.score.logit)


class StoppedClock(datetime):
    """The same moment at every reading: a report holds the time of its analysis."""

    @classmethod
    def now(cls, tz=None):
        return cls(2026, 2, 3, 4, 5, 6, tzinfo=tz)


def test_a_report_is_that_of_the_service(model, client, monkeypatch):
    monkeypatch.setattr("app.service.report.datetime", StoppedClock)
    assert model.report(FILM) == (client.post("/report?object=sr", content=FILM).content,)


def test_an_untrained_finding_has_no_evidence(model):
    explanation = model.explain(FILM, "Fracture")
    assert (explanation.grid, explanation.score.probability) == (None, None)


def test_errors_are_those_of_the_domain(model, tmp_path):
    for wrong, error in ((b"", EmptyBody), (tmp_path / "nowhere.dcm", MalformedRequest)):
        with pytest.raises(error):
            model.predict(wrong)
    with pytest.raises(InvalidQuery, match="balanced, specific"):
        model.predict(FILM, operating_point="optimal")
    with pytest.raises(UnknownFinding):
        model.explain(FILM, "cold")
    with pytest.raises(InvalidQuery, match="colour"):
        model.explain(FILM, "Edema", colour="red")


def test_a_model_that_is_missing_leaves_nothing_running(settings):
    with pytest.raises(ArtifactError):
        load("nowhere", settings=settings)


def test_a_closed_model_can_be_closed_again(settings):
    loaded = load(settings=settings)
    assert loaded.name == "one"
    loaded.close()
    loaded.close()


def test_importing_the_package_loads_nothing_heavy():
    code = "import sys, app; assert not {'torch', 'fastapi', 'pydicom', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
