"""The comparison of two radiographs over HTTP, with a small model and the shipped segmenter."""

import hashlib
import json

import pytest
from fastapi.testclient import TestClient

from app import load
from app.patchnet.findings import FINDING_NAMES
from app.runtime.application import create_app
from app.settings import Settings
from tests.artifacts import records_with_points, save_small_artifact
from tests.conftest import ROOT
from tests.factories import SENTINEL, chest_dicom, film_8bit, png_file, write_dicom
from tests.unit.imaging.films import film

CHEST = write_dicom(film(StudyDate="20240101"))
DARKER = write_dicom(film(WindowCenter=20000, StudyDate="20240203"))


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    points = {"Edema": ("validated", {"balanced": 0.001, "specific": 0.999}), "Fracture": ("untrained", {})}
    save_small_artifact(folder, "one", findings=records_with_points(points))
    segmenter = str(ROOT / "models" / "chest-anatomy")
    log = folder / "audit.jsonl"
    return Settings(
        models_dir=folder, model="one", segmenter=segmenter, device="cpu", engine="torch", decode_workers=2,
        audit_file=log, max_body_bytes=400_000,
    )  # fmt: skip


@pytest.fixture(scope="module")
def client(settings):
    with TestClient(create_app(settings)) as opened:
        yield opened


def compared(client, current, prior, query=""):
    answer = client.post(f"/compare{query}", files={"current": current, "prior": prior})
    assert answer.status_code == 200, answer.text
    return answer.json()


def problem(answer, code, status=422):
    assert (answer.status_code, answer.json()["type"]) == (status, f"urn:medpatchnet:problem:{code}"), answer.text
    return answer.json()["detail"]


@pytest.fixture(scope="module")
def forward(client):
    return compared(client, DARKER, CHEST, "?map=true")


def test_every_finding_has_both_probabilities_and_their_change(client, forward):
    assert [finding["name"] for finding in forward["findings"]] == list(FINDING_NAMES)
    alone = {
        name: client.post("/predict", content=file).json() for name, file in (("current", DARKER), ("prior", CHEST))
    }
    for index, finding in enumerate(forward["findings"]):
        for name, body in alone.items():
            expected = body["findings"][index]
            assert finding[name]["probability"] == pytest.approx(expected["probability"], abs=1e-6)
            assert finding[name]["positive"] == expected["positive"]
        if finding["status"] == "untrained":
            assert (finding["change"], finding["zones"], finding["map"]) == (
                {"probability": None, "logit": None}, None, None,
            )  # fmt: skip
            continue
        for value in ("probability", "logit"):
            assert finding["change"][value] == finding["current"][value] - finding["prior"][value]


def test_the_changes_of_the_zones_add_up_to_that_of_the_logit(forward):
    assert forward["zones"]["compared"], forward["zones"]
    trained = [finding for finding in forward["findings"] if finding["status"] != "untrained"]
    assert len(trained) == 13
    for finding in trained:
        total = sum(zone["change"] for zone in finding["zones"]["zones"])
        assert total == pytest.approx(finding["change"]["logit"], abs=1e-5)
        assert finding["change"]["logit"] != 0
        assert finding["zones"]["sum"] == pytest.approx(total, abs=1e-12)
        assert abs(finding["zones"]["difference"]) <= 1e-5


def test_swapped_radiographs_have_the_opposite_changes(client, forward):
    swapped = compared(client, CHEST, DARKER)
    for one, other in zip(forward["findings"], swapped["findings"], strict=True):
        if one["status"] == "untrained":
            continue
        assert one["change"]["logit"] == pytest.approx(-other["change"]["logit"], abs=1e-6)
        there = [zone["change"] for zone in one["zones"]["zones"]]
        back = [-zone["change"] for zone in other["zones"]["zones"]]
        assert there == pytest.approx(back, abs=1e-6)
    assert [warning["code"] for warning in forward["warnings"]] == []
    assert [warning["code"] for warning in swapped["warnings"]] == ["prior_is_later"]


def test_a_radiograph_has_not_changed_against_itself(client):
    body = compared(client, CHEST, CHEST, "?map=true")
    for finding in body["findings"]:
        if finding["status"] != "untrained":
            assert finding["change"] == {"probability": 0, "logit": 0}
            assert {zone["change"] for zone in finding["zones"]["zones"]} == {0}
            assert finding["map"] == {"rows": 2, "columns": 2, "change": [[0, 0], [0, 0]]}
    assert body["zones"]["lungs"]["current"] == body["zones"]["lungs"]["prior"]


def test_findings_are_chosen_and_maps_left_out_unless_requested(client):
    (finding,) = compared(client, DARKER, CHEST, "?class=edema&operating_point=specific")["findings"]
    assert (finding["name"], finding["operating_point"], finding["map"]) == ("Edema", "specific", None)


def test_radiographs_of_two_patients_are_refused_without_their_identifiers(client):
    other = chest_dicom(PatientID="ZZOTHER")
    answer = client.post("/compare", files={"current": chest_dicom(), "prior": other})
    problem(answer, "different_patients")
    assert "ZZ" not in answer.text
    assert SENTINEL not in answer.text


def test_other_views_are_refused(client):
    other = chest_dicom(ViewPosition="AP")
    detail = problem(client.post("/compare", files={"current": chest_dicom(), "prior": other}), "different_views")
    assert "PA" in detail
    assert "AP" in detail


def test_without_lungs_there_are_probabilities_and_the_reasons_why_there_are_no_zones(client):
    body = compared(client, CHEST, png_file(film_8bit()), "?map=true")
    zones = body["zones"]
    assert (zones["compared"], zones["lungs"]) == (False, None)
    assert {reason["film"] for reason in zones["reasons"]} == {"prior"}
    edema = next(finding for finding in body["findings"] if finding["name"] == "Edema")
    assert edema["change"]["logit"] is not None
    assert (edema["zones"], edema["map"]) == (None, None)
    assert {warning["code"] for warning in body["warnings"]} == {"patient_not_checked", "view_unknown"}


def test_zones_of_mirrored_radiographs_are_not_compared(client):
    mirrored = write_dicom(film(PatientOrientation=["R", "F"]))
    zones = compared(client, CHEST, mirrored)["zones"]
    assert (zones["compared"], zones["reasons"][0]["film"], zones["reasons"][0]["code"]) == (False, "prior", "mirrored")


@pytest.mark.parametrize(
    ("files", "status", "code", "named"),
    [
        ({"current": CHEST}, 400, "malformed_request", "prior"),
        ({"current": CHEST, "prior": b""}, 400, "empty_body", "prior"),
        ({"current": CHEST, "prior": b"no image"}, 422, "unreadable_image", "prior: "),
        ({"current": b"no image", "prior": b"no image"}, 422, "unreadable_image", "current: "),
        ({"current": CHEST, "prior": b"\0" * 400_001}, 413, "body_too_large", "400000"),
    ],
)
def test_a_problem_names_the_radiograph(client, files, status, code, named):
    assert named in problem(client.post("/compare", files=files), code, status)


def test_a_single_image_is_not_a_comparison(client):
    answer = client.post("/compare", content=CHEST, headers={"Content-Type": "application/dicom"})
    assert "'current' and 'prior'" in problem(answer, "unsupported_media_type", 415)


def test_the_audit_log_has_the_hashes_of_both(client, settings):
    compared(client, DARKER, CHEST, "?class=edema")
    entry = json.loads(settings.audit_file.read_text().splitlines()[-1])
    digests = [hashlib.sha256(file).hexdigest() for file in (DARKER, CHEST)]
    assert (entry["action"], entry["object_sha256"].split(",")) == ("POST /compare", digests)
    assert len(entry["instance_sha256"].split(",")) == 2


def test_without_a_segmenter_there_are_no_zones_and_python_has_the_same_answer(settings):
    changed = settings.model_copy(update={"segmenter": "nowhere", "audit_file": None})
    with load(settings=changed) as model:
        result = model.compare(DARKER, CHEST, findings=["Edema"])
    assert (result.zones_compared, result["edema"].zones) == (False, None)
    assert [(reason.film, reason.code) for reason in result.body.zones.reasons] == [(None, "no_segmenter")]
    assert result["edema"].change.logit != 0
