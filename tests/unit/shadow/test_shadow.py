"""A second model beside the served one: what is compared, and that no response depends on it."""

import re
import threading
from contextlib import contextmanager

import pytest
from fastapi.testclient import TestClient

from app.errors import ArtifactError
from app.patchnet.artifact import read_manifest
from app.patchnet.findings import FINDING_NAMES
from app.runtime.application import create_app
from app.settings import Settings
from tests.artifacts import records_with_points, save_small_artifact
from tests.factories import SENTINEL, chest_dicom
from tests.waiting import eventually

EDEMA = FINDING_NAMES.index("Edema")


@pytest.fixture(scope="module")
def models_dir(tmp_path_factory):
    """Two models with other weights, of which ``always`` finds Edema on every radiograph and ``never`` on none."""
    folder = tmp_path_factory.mktemp("models")
    for seed, (name, threshold) in enumerate((("never", 0.999999), ("always", 0.000001))):
        points = records_with_points({"Edema": ("validated", {"balanced": threshold})})
        save_small_artifact(folder, name, seed, findings=points)
    return folder


@contextmanager
def service(models_dir, **changes):
    """A client of a service in this process, and its application."""
    settings = Settings(models_dir=models_dir, decode_workers=1, device="cpu", engine="torch", **changes)
    with TestClient(app := create_app(settings)) as client:
        yield client, app


@pytest.fixture(scope="module")
def shadowed(models_dir):
    with service(models_dir, model="never,always", shadow_model="always") as (client, app):
        yield client, app


def report_after(client, compared):
    """The report once this number of radiographs is compared."""

    def report():
        body = client.get("/shadow").json()
        return body if body["radiographs"]["compared"] >= compared else None

    return eventually(report)


def test_differences_are_those_of_the_probabilities_of_both_models(shadowed):
    client, _ = shadowed
    before = client.get("/shadow").json()["radiographs"]["compared"]
    served, other = (
        client.post(f"/predict?model={name}", content=chest_dicom()).json() for name in ("never", "always")
    )
    report = report_after(client, before + 1)
    assert report["radiographs"] == {"compared": before + 1, "dropped": 0, "failed": 0, "waiting": 0}
    assert (report["served"]["name"], report["shadow"]["name"]) == ("never", "always")
    expected = {
        one["name"]: two["probability"] - one["probability"]
        for one, two in zip(served["findings"], other["findings"], strict=True)
    }
    assert {item["name"]: item["mean_difference"] for item in report["findings"]} == pytest.approx(expected, abs=1e-5)
    for item in report["findings"]:
        size = abs(expected[item["name"]])
        assert item["largest_absolute_difference"] == pytest.approx(size, abs=1e-5)
        assert item["up_to"]["1.0"] == before + 1
        assert all(not count for bound, count in item["up_to"].items() if float(bound) < size - 1e-5)


def test_decisions_that_differ_are_counted(shadowed):
    client, _ = shadowed
    compared = client.get("/shadow").json()["radiographs"]["compared"] + 1
    client.post("/predict?operating_point=balanced", content=chest_dicom())
    findings = report_after(client, compared)["findings"]
    assert findings[EDEMA]["decisions"]["only_shadow"] == compared
    assert {name for name, count in findings[0]["decisions"].items() if count} == {"undecided"}
    metrics = client.get("/metrics").text
    assert f'shadow_decisions_total{{agreement="only_shadow",finding="Edema"}} {compared}.0' in metrics
    assert f'shadow_difference_count{{finding="Edema"}} {compared}.0' in metrics
    assert f'shadow_radiographs_total{{outcome="compared"}} {compared}.0' in metrics


def test_report_and_metrics_hold_nothing_of_the_patient(shadowed):
    client, _ = shadowed
    for text in (client.get("/shadow").text, client.get("/metrics").text):
        assert SENTINEL not in text
        assert not re.search(r"\b1\.2\.826\.", text)


def test_a_busy_shadow_delays_no_response_and_drops_what_it_cannot_hold(models_dir):
    gate = threading.Event()
    with service(models_dir, model="never", shadow_model="always", shadow_queue=1) as (client, app):
        (replica,) = app.state.shadow.model.scheduler.replicas
        replica.engine = Gated(replica.engine, gate)
        client.post("/predict", content=chest_dicom())
        eventually(replica.engine.entered.is_set)
        for _ in range(3):
            assert client.post("/predict", content=chest_dicom()).status_code == 200
        counts = client.get("/shadow").json()["radiographs"]
        assert counts == {"compared": 0, "dropped": 2, "failed": 0, "waiting": 1}
        gate.set()
        assert report_after(client, 2)["radiographs"]["dropped"] == 2


class Gated:
    """An engine that waits before every call until a gate is open."""

    device, precision = "cpu", "float32"

    def __init__(self, engine, gate):
        self.engine, self.gate, self.entered = engine, gate, threading.Event()

    def patch_logits(self, patches):
        self.entered.set()
        assert self.gate.wait(300)
        return self.engine.patch_logits(patches)


@pytest.mark.thorough
def test_the_shadow_waits_while_another_analysis_is_in_progress(models_dir):
    with service(models_dir, model="never", shadow_model="always") as (client, app):
        predictor = app.state.services.predictor
        held = predictor.analysing()
        client.portal.call(held.__enter__)
        assert client.post("/predict", content=chest_dicom()).status_code == 200
        (replica,) = app.state.shadow.model.scheduler.replicas
        replica.engine = Gated(replica.engine, threading.Event())
        assert not replica.engine.entered.wait(0.2)
        replica.engine.gate.set()
        client.portal.call(held.__exit__, None, None, None)
        assert report_after(client, 1)


@pytest.mark.thorough
def test_a_failing_shadow_affects_neither_responses_nor_readiness(models_dir):
    with service(models_dir, model="never", shadow_model="always") as (client, app):
        (replica,) = app.state.shadow.model.scheduler.replicas
        replica.engine = Broken()
        assert client.post("/predict", content=chest_dicom()).status_code == 200
        eventually(lambda: client.get("/shadow").json()["radiographs"]["failed"] == 1)
        assert client.get("/readyz").status_code == 200
        assert 'inference_faults_total{kind="engine_error"} 0.0' in client.get("/metrics").text


class Broken:
    """An engine that fails in every call."""

    device, precision = "cpu", "float32"

    def patch_logits(self, patches):
        raise RuntimeError("broken")


def test_without_a_shadow_there_is_no_report(models_dir):
    with service(models_dir, model="never") as (client, _):
        answer = client.get("/shadow")
        assert (answer.status_code, answer.json()["type"]) == (404, "urn:medpatchnet:problem:no_shadow_model")
        assert "medpatchnet_shadow_" not in client.get("/metrics").text


@pytest.mark.thorough
def test_the_weights_of_the_shadow_must_be_allowed_too(models_dir):
    allowed = read_manifest(models_dir / "never").weights_sha256
    with pytest.raises(ArtifactError), service(models_dir, model="never", shadow_model="always", model_sha256=allowed):
        pass
