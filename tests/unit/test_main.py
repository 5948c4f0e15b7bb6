"""The composition root with small artefacts: several models, failures at the start, device memory."""

import pytest
import torch
from fastapi.testclient import TestClient

from app.errors import ArtifactError, ConfigurationError
from app.main import create_app
from app.settings import Settings
from tests.artifacts import save_small_artifact
from tests.factories import chest_dicom


@pytest.fixture(scope="module")
def models_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for seed, name in enumerate(("one", "two")):
        save_small_artifact(folder, name, seed)
    (folder / "two/MODEL_CARD.md").unlink()
    return folder


def settings(models_dir, **changes):
    return Settings(models_dir=models_dir, decode_workers=1, device="cpu", batch_patches=8, **changes)


def test_several_models_are_served_by_name(models_dir):
    with TestClient(create_app(settings(models_dir, model="one, two"))) as client:
        film = chest_dicom()
        answers = [client.post(f"/predict{query}", content=film).json() for query in ("", "?model=one", "?model=two")]
        assert [answer["model"]["name"] for answer in answers] == ["one", "one", "two"]
        assert answers[0]["findings"] == answers[1]["findings"] != answers[2]["findings"]
        assert {finding["status"] for finding in answers[0]["findings"]} == {"imported"}
        assert answers[0]["findings"][0]["probability"] is not None
        assert answers[0]["findings"][0]["positive"] is None  # no threshold, no decision
        assert client.get("/model").json()["served"] == ["one", "two"]
        assert client.get("/model?model=two").json()["card"] == ""
        explained = client.post("/explain?class=Edema", content=film).json()["explanations"][0]
        assert explained["decisive_patches"] == []
        assert explained["grid"]["rows"] == 2


def test_a_dead_part_makes_the_service_unready(models_dir):
    app = create_app(settings(models_dir, model="one"))
    with TestClient(app) as client:
        assert client.get("/readyz").status_code == 200
        app.state.services.models.get().scheduler.close()
        answer = client.get("/readyz")
        assert (answer.status_code, answer.json()["status"]) == (503, "failed")
        assert client.post("/predict", content=chest_dicom()).status_code == 503


@pytest.mark.parametrize(
    ("model", "error"), [(",", ConfigurationError), ("three", ArtifactError), ("one,one", ConfigurationError)]
)
def test_a_wrong_choice_of_models_ends_the_start(models_dir, model, error):
    app = create_app(settings(models_dir, model=model))
    with pytest.raises(error), TestClient(app):
        pass
    assert isinstance(app.state.failure, error)


def test_device_memory_is_followed_on_cuda(models_dir, monkeypatch):
    from app.inference.engine import TorchEngine

    monkeypatch.setattr("app.main.choose_device", lambda preference: "cpu")
    monkeypatch.setattr(TorchEngine, "device", "cuda")
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda: 3)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda: 5)
    with TestClient(create_app(settings(models_dir, model="one", engine="torch"))) as client:
        text = client.get("/metrics").text
    assert 'gpu_memory_bytes{kind="allocated"} 3.0' in text
    assert 'gpu_memory_bytes{kind="reserved"} 5.0' in text
