"""The composition root with small artifacts: several models, failures at the start, device memory."""

import gc
import shutil

import pytest
import torch
from fastapi.testclient import TestClient

from app.errors import ArtifactError, ConfigurationError
from app.patchnet.artifact import amend, read_manifest
from app.patchnet.manifest import PrecisionRecord
from app.runtime.application import create_app
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
    return Settings(models_dir=models_dir, decode_workers=1, device="cpu", **changes)


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


@pytest.mark.parametrize(("asked", "patches"), [(None, 4), (8, 8)])
def test_a_cpu_takes_one_image_a_call_unless_told_otherwise(models_dir, asked, patches):
    app = create_app(settings(models_dir, model="one", batch_patches=asked))
    with TestClient(app):
        assert app.state.services.models.get().scheduler.batch_patches == patches


def test_what_is_there_at_the_start_is_not_looked_through_for_garbage(models_dir):
    frozen = gc.get_freeze_count()
    with TestClient(create_app(settings(models_dir, model="one"))):
        assert gc.get_freeze_count() > frozen
    assert gc.get_freeze_count() == 0


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

    monkeypatch.setattr("app.runtime.application.choose_device", lambda preference: "cpu")
    monkeypatch.setattr(TorchEngine, "device", "cuda")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda index: 1 + index)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda index: 2 + index)
    with TestClient(create_app(settings(models_dir, model="one", engine="torch"))) as client:
        text = client.get("/metrics").text
    assert 'gpu_memory_bytes{kind="allocated"} 3.0' in text
    assert 'gpu_memory_bytes{kind="reserved"} 5.0' in text


def allow(models_dir, name, *precisions):
    """Copy an artifact whose manifest allows some reduced precisions and has measured, and forbids, the others."""
    source, target = models_dir / "one", models_dir / name
    shutil.copytree(source, target)
    manifest = read_manifest(source)
    records = tuple(
        PrecisionRecord(
            precision=precision,
            allowed=precision in precisions,
            dataset="valid",
            films=3,
            mean_auroc=0.7,
            mean_auroc_change=0.0,
            largest_auroc_change=0.0,
            mean_probability_change=0.0,
            largest_probability_change=0.0,
        )
        for precision in ("bfloat16", "float16")
    )
    amend(target, manifest.model_copy(update={"name": name, "precisions": records}), "# card")


def test_a_precision_that_the_manifest_does_not_allow_ends_the_start(models_dir):
    allow(models_dir, "strict")
    for model, precision in (("one", "bfloat16"), ("strict", "float16")):
        app = create_app(settings(models_dir, model=model, precision=precision, engine="torch"))
        with (
            pytest.raises(
                ConfigurationError, match=f"does not allow the precision '{precision}'; allowed are: float32"
            ),
            TestClient(app),
        ):
            pass


def test_the_precision_in_use_is_told(models_dir):
    allow(models_dir, "lax", "bfloat16")
    for precision, told in (("auto", "float32"), ("float32", "float32"), ("bfloat16", "bfloat16")):
        app = create_app(settings(models_dir, model="lax", precision=precision, engine="torch"))
        with TestClient(app) as client:
            assert client.get("/model").json()["model"]["precision"] == told
            assert client.post("/predict", content=chest_dicom()).json()["model"]["precision"] == told
            records = client.get("/model").json()["manifest"]["precisions"]
            assert {record["precision"]: record["allowed"] for record in records} == {
                "bfloat16": True,
                "float16": False,
            }
