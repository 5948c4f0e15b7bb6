"""Faults through the whole application: what the client is told, what is counted, whether readiness tells the truth."""

import os
import re
import signal

import pytest
import torch
from fastapi.testclient import TestClient

from app.errors import ArtifactError
from app.inference import faults
from app.patchnet import artifact
from app.runtime.application import create_app
from app.settings import Settings
from tests.artifacts import save_small_artifact
from tests.factories import chest_dicom
from tests.waiting import eventually

FILM = chest_dicom()


@pytest.fixture(scope="module")
def models_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    save_small_artifact(folder, "one")
    save_small_artifact(folder, "two", seed=1)
    return folder


def settings(models_dir, **changes):
    return Settings(models_dir=models_dir, model="one", decode_workers=1, device="cpu", **changes)


@pytest.fixture(scope="module")
def running(models_dir):
    with pytest.MonkeyPatch.context() as patch, TestClient(create_app(settings(models_dir))) as client:
        patch.setattr(faults, "PROBE_EVERY_S", 0.05)
        yield client


def replicas(client):
    return client.app.state.services.models.get().scheduler.replicas


@pytest.fixture
def client(running):
    """The application, whose engines are well again afterwards."""
    engines = [replica.engine for replica in replicas(running)]
    yield running
    for replica, engine in zip(replicas(running), engines, strict=True):
        replica.engine = engine
    assert running.post("/predict", content=FILM).status_code == 200


class Sick:
    """Stands before an engine and does what ``act`` says."""

    def __init__(self, engine, act):
        self._engine, self._act = engine, act
        self.device, self.precision = engine.device, engine.precision

    def patch_logits(self, patches):
        return self._act(self._engine, patches)


def infect(client, act):
    for replica in replicas(client):
        replica.engine = Sick(replica.engine, act)


def metric(client, line):
    found = re.search(rf"^medpatchnet_{re.escape(line)} (\S+)$", client.get("/metrics").text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def raises(engine, patches):
    raise RuntimeError("CUDA error: device-side assert triggered, patient Doe^John")


def partly_nan(engine, patches):
    logits = engine.patch_logits(patches).clone()
    logits[-1, 3] = float("nan")
    return logits


def infinite(engine, patches):
    return engine.patch_logits(patches) + float("inf")


def too_few(engine, patches):
    return engine.patch_logits(patches)[:-1]


@pytest.mark.parametrize(
    ("act", "code", "kind"),
    [
        (raises, "inference_failed", "engine_error"),
        (partly_nan, "invalid_model_output", "invalid_output"),
        (infinite, "invalid_model_output", "invalid_output"),
        (too_few, "invalid_model_output", "invalid_output"),
    ],
)
@pytest.mark.parametrize(
    "path", ["/predict", "/predict?grids=true", "/explain?class=Edema", "/explain?class=Edema&offset=32"]
)
def test_a_bad_answer_of_the_network_is_a_500_with_a_reason_and_counted(client, path, act, code, kind):
    infect(client, act)
    counters = (
        f'inference_faults_total{{kind="{kind}"}}',
        'http_requests_total{code="500",method="POST",route="' + path.partition("?")[0] + '"}',
    )
    before = [metric(client, counter) for counter in counters]
    answer = client.post(path, content=FILM)
    assert (answer.status_code, answer.json()["type"]) == (500, f"urn:medpatchnet:problem:{code}")
    assert "Doe" not in answer.text
    assert [metric(client, counter) for counter in counters] == [count + 1 for count in before]


def test_a_full_device_halves_the_batch_and_answers_the_same(client):
    whole = client.post("/predict", content=FILM).json()["findings"]

    def small(engine, patches):
        if patches.shape[0] > 1:
            raise torch.OutOfMemoryError
        return engine.patch_logits(patches)

    infect(client, small)
    halved = client.post("/predict", content=FILM)
    assert halved.status_code == 200
    for one, other in zip(halved.json()["findings"], whole, strict=True):
        assert one["logit"] == pytest.approx(other["logit"], abs=1e-5)
    assert metric(client, 'inference_faults_total{kind="out_of_memory"}') == 3


def becomes(client, status):
    def told():
        answer = client.get("/readyz")
        return answer if answer.json()["status"] == status else None

    assert eventually(told).status_code == (200 if status == "ready" else 503)


def test_readiness_goes_with_the_engine_and_comes_back_with_it(client):
    sick = [True]
    infect(client, lambda engine, patches: raises(engine, patches) if sick[0] else engine.patch_logits(patches))
    for _ in range(faults.FAILING_AFTER * len(replicas(client))):
        assert client.post("/predict", content=FILM).status_code == 500
    becomes(client, "failed")
    assert client.get("/livez").status_code == 200
    sick[0] = False
    becomes(client, "ready")
    assert client.post("/predict", content=FILM).status_code == 200


def test_readiness_returns_after_every_decode_worker_was_killed(client):
    pool = client.app.state.services.decoder
    os.kill(pool._workers[0]._process.pid, signal.SIGKILL)
    becomes(client, "ready")
    eventually(lambda: pool.restarts)
    assert metric(client, "decode_worker_restarts") == 1
    assert client.post("/predict", content=FILM).status_code == 200


def test_a_decode_worker_that_hangs_is_stopped_and_the_next_film_is_answered(models_dir):
    with TestClient(create_app(settings(models_dir, decode_timeout_s=0.5))) as client:
        client.post("/predict", content=FILM)
        pool = client.app.state.services.decoder
        os.kill(pool._workers[0]._process.pid, signal.SIGSTOP)
        hung = client.post("/predict", content=FILM)
        assert (hung.status_code, hung.json()["type"]) == (422, "urn:medpatchnet:problem:decode_timeout")
        assert client.post("/predict", content=FILM).status_code == 200


def flip_a_bit(folder):
    path = folder / artifact.WEIGHTS
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)


def cut(folder):
    path = folder / artifact.WEIGHTS
    path.write_bytes(path.read_bytes()[:-100])


def swap(folder):
    (folder / artifact.WEIGHTS).write_bytes((folder.parent / "two" / artifact.WEIGHTS).read_bytes())


@pytest.mark.parametrize("damage", [flip_a_bit, cut, swap])
def test_weights_that_are_not_the_manifests_end_the_start(models_dir, damage):
    folder = save_small_artifact(models_dir, "damaged")
    damage(folder)
    app = create_app(settings(models_dir).model_copy(update={"model": "damaged"}))
    with pytest.raises(ArtifactError, match="sha256"), TestClient(app):
        pass


def test_a_whole_artefact_that_was_swapped_is_refused_where_its_hash_is_pinned(models_dir):
    pinned = artifact.read_manifest(models_dir / "two").weights_sha256
    app = create_app(settings(models_dir, model_sha256=pinned))
    with pytest.raises(ArtifactError, match="MODEL_SHA256"), TestClient(app):
        pass
    own = artifact.read_manifest(models_dir / "one").weights_sha256
    with TestClient(create_app(settings(models_dir, model_sha256=f"{pinned}, {own.upper()}"))) as client:
        assert client.get("/readyz").status_code == 200
