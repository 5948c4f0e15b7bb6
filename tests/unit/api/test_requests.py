"""What clients send and ask for, over the application with a small model whose findings have operating points."""

import json

import numpy as np
import pytest
from fastapi.testclient import TestClient

from app.patchnet.findings import FINDING_NAMES
from app.runtime.application import create_app
from app.settings import Settings
from tests.artifacts import records_with_points, save_small_artifact
from tests.factories import chest_dicom, png_file

FILM = chest_dicom()
LOW, HIGH = 0.001, 0.999
STATUSES = {name: ("validated", {"balanced": LOW, "specific": HIGH}) for name in ("No Finding", "Edema")}
STATUSES |= {"Pneumonia": ("weak", {"balanced": LOW}), "Fracture": ("untrained", {})}


@pytest.fixture(scope="module")
def models_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    save_small_artifact(folder, "one", findings=records_with_points(STATUSES))
    return folder


def settings(models_dir, **changes):
    return Settings(models_dir=models_dir, model="one", device="cpu", decode_workers=1, **changes)


@pytest.fixture(scope="module")
def client(models_dir):
    with TestClient(create_app(settings(models_dir, cors_origins="https://viewer.example"))) as opened:
        yield opened


def findings(answer):
    assert answer.status_code == 200, answer.text
    return {finding["name"]: finding for finding in answer.json()["findings"]}


def problem(answer, status, code):
    assert (answer.status_code, answer.json()["type"]) == (status, f"urn:medpatchnet:problem:{code}")
    return answer.json()["detail"]


def test_the_operating_point_in_force_decides_validated_findings(client):
    found = findings(client.post("/predict", content=FILM))
    assert (found["Edema"]["positive"], found["Edema"]["operating_point"]) == (True, "balanced")
    assert (found["Pneumonia"]["positive"], found["Pneumonia"]["threshold"]) == (None, LOW)
    assert (found["No Finding"]["positive"], found["No Finding"]["contradicted_by"]) == (False, ["Edema"])


def test_a_request_chooses_another_operating_point(client):
    found = findings(client.post("/predict?operating_point=specific", content=FILM))
    assert (found["Edema"]["positive"], found["Edema"]["threshold"]) == (False, HIGH)
    explained = client.post("/explain?class=Edema&operating_point=specific", content=FILM).json()["explanations"][0]
    assert (explained["positive"], explained["operating_point"]) == (False, "specific")


@pytest.mark.parametrize("path", ["/predict?", "/explain?class=Edema&", "/report?object=sr&"])
def test_an_unknown_operating_point_lists_the_names(client, path):
    answer = client.post(f"{path}operating_point=optimal", content=FILM)
    assert "balanced, specific" in problem(answer, 422, "invalid_query")


def test_a_what_if_keeps_the_operating_point_of_its_result_or_chooses_another(client):
    predicted = client.post("/predict?operating_point=specific", content=FILM).json()["request_id"]
    question = {"request_id": predicted, "remove": []}
    kept = client.post("/whatif", json=question).json()["findings"]
    chosen = client.post("/whatif", json=question | {"operating_point": "balanced"}).json()["findings"]
    edema = FINDING_NAMES.index("Edema")
    assert (kept[edema]["after"]["operating_point"], kept[edema]["after"]["positive"]) == ("specific", False)
    assert (chosen[edema]["after"]["operating_point"], chosen[edema]["after"]["positive"]) == ("balanced", True)
    unknown = client.post("/whatif", json=question | {"operating_point": "optimal"})
    problem(unknown, 422, "invalid_query")


def test_positive_findings_are_counted_as_they_were_decided(client):
    def count():
        text = client.get("/metrics").text
        return sum(float(line.split()[1]) for line in text.splitlines() if 'positive_total{finding="Edema"}' in line)

    before = count()
    client.post("/predict?operating_point=specific", content=FILM)
    assert count() == before
    client.post("/predict", content=FILM)
    assert count() == before + 1


def test_the_site_file_is_in_force_and_shown(models_dir, tmp_path):
    file = tmp_path / "points.yaml"
    file.write_text("Pneumonia: {threshold: 0.002, name: local}\nEdema: specific\n")
    changes = {"operating_points_file": file, "operating_point": "balanced"}
    with TestClient(create_app(settings(models_dir, **changes))) as client:
        found = findings(client.post("/predict", content=FILM))
        listed = {finding["name"]: finding for finding in client.get("/findings").json()["findings"]}
    assert (found["Pneumonia"]["positive"], found["Pneumonia"]["operating_point"]) == (True, "local")
    assert (found["Edema"]["positive"], found["Edema"]["operating_point"]) == (False, "specific")
    shown = [listed[name]["operating_point_from"] for name in ("Pneumonia", "Edema", "No Finding", "Fracture")]
    assert shown == ["site_file", "site_file", "setting", None]
    assert [listed[name]["decides"] for name in ("Pneumonia", "Lung Lesion", "Fracture")] == [True, False, False]
    assert list(listed["Pneumonia"]["operating_points"]) == ["balanced", "local"]


@pytest.mark.parametrize(
    ("media_type", "body", "status"),
    [
        ("application/x-www-form-urlencoded", FILM, 200),
        ("application/x-www-form-urlencoded", b"file=chest.dcm", 415),
        ("text/html", FILM, 415),
        ("application/json", FILM, 415),
    ],
)
def test_bytes_of_an_image_are_accepted_as_curl_sends_them(client, media_type, body, status):
    answer = client.post("/predict", content=body, headers={"Content-Type": media_type})
    assert answer.status_code == status, answer.text


@pytest.mark.parametrize("path", ["/predict", "/whatif"])
def test_a_compressed_body_is_an_unsupported_media_type(client, path):
    answer = client.post(path, content=b"\x1f\x8b", headers={"Content-Encoding": "gzip"})
    assert "Content-Encoding" in problem(answer, 415, "unsupported_media_type")


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/health", "/findings", "/", "/docs", "/openapi.json"])
def test_head_is_get_without_the_body(client, path):
    answer, whole = client.head(path), client.get(path)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == str(len(whole.content))
    assert 'method="HEAD",route="/livez"' in client.get("/metrics").text if path == "/livez" else True


@pytest.mark.parametrize("path", ["/predict", "/explain"])
def test_head_of_a_route_without_get_is_not_allowed(client, path):
    assert client.head(path).status_code == 405


def test_a_missing_class_lists_the_names(client):
    detail = problem(client.post("/explain", content=FILM), 422, "invalid_query")
    assert all(name in detail for name in FINDING_NAMES)


def test_the_document_lists_the_findings(client):
    parameters = client.get("/openapi.json").json()["paths"]["/explain"]["post"]["parameters"]
    schema = next(parameter for parameter in parameters if parameter["name"] == "class")
    assert schema["required"]
    assert schema["schema"]["items"]["enum"] == [*FINDING_NAMES, "all"]


def test_several_objects_come_together(client):
    answer = client.post("/report?object=sr&object=gsps&object=sr", content=FILM)
    assert answer.headers["content-type"].startswith('multipart/related; type="application/dicom"')
    assert answer.content.count(b"Content-Type: application/dicom") == 2


def break_kind(monkeypatch, kind, error):
    from app.service.report import Reporter

    whole = Reporter.report

    async def report(self, film, asked, finding=None, **options):
        if asked == kind:
            raise error
        return await whole(self, film, asked, finding, **options)

    monkeypatch.setattr(Reporter, "report", report)


def test_a_kind_that_cannot_be_made_leaves_the_others(client, monkeypatch):
    break_kind(monkeypatch, "gsps", ValueError("bad PatientSex 'Doe^John'"))
    answer = client.post("/report?object=gsps&object=sr", content=FILM)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/dicom")
    [failure] = json.loads(answer.headers["x-object-problems"])
    assert (failure["object"], failure["code"]) == ("gsps", "object_not_possible")
    assert "PatientSex" in failure["detail"]
    assert "Doe" not in failure["detail"]


def test_without_a_segmenter_there_is_no_segmentation_and_the_other_objects_are_made(client):
    assert "segmenter" in problem(client.post("/report?object=seg", content=FILM), 422, "invalid_query")
    answer = client.post("/report?object=seg&object=sr", content=FILM)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/dicom")
    [failure] = json.loads(answer.headers["x-object-problems"])
    assert (failure["object"], failure["code"]) == ("seg", "invalid_query")


@pytest.mark.parametrize(
    ("error", "named"),
    [
        (AttributeError("'Dataset' object has no attribute 'StudyDate'"), "StudyDate"),
        (KeyError("(0010, 0040)"), "PatientSex"),
        (TypeError("Doe^John"), "one of its attributes"),
    ],
)
def test_a_kind_that_cannot_be_made_is_a_problem_that_quotes_nothing(client, monkeypatch, error, named):
    break_kind(monkeypatch, "sr", error)
    detail = problem(client.post("/report?object=sr", content=FILM), 422, "object_not_possible")
    assert "(sr)" in detail
    assert named in detail
    assert "Doe" not in detail


def test_only_the_origins_of_the_setting_can_call_from_a_browser(client, models_dir):
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-api-key"}
    allowed = client.options("/predict", headers={"Origin": "https://viewer.example", **asked})
    assert allowed.headers["access-control-allow-origin"] == "https://viewer.example"
    assert "x-api-key" in allowed.headers["access-control-allow-headers"].lower()
    assert "access-control-allow-origin" not in client.get("/livez", headers={"Origin": "https://else.example"}).headers
    answered = client.get("/livez", headers={"Origin": "https://viewer.example"})
    assert "X-Object-Problems" in answered.headers["access-control-expose-headers"]


def test_a_page_can_read_the_response_to_an_unexpected_error(client, monkeypatch):
    monkeypatch.setattr("app.api.routes.json_answer", lambda *_: 1 / 0)
    answer = client.get("/findings", headers={"Origin": "https://viewer.example"})
    assert (answer.status_code, answer.json()["type"]) == (500, "urn:medpatchnet:problem:internal_error")
    assert answer.headers["access-control-allow-origin"] == "https://viewer.example"


def test_no_origin_can_call_from_a_browser_by_default(models_dir):
    app = create_app(settings(models_dir))
    assert "CORSMiddleware" not in {middleware.cls.__name__ for middleware in app.user_middleware}


@pytest.mark.parametrize(("kind", "version"), [("fhir", "4.0"), ("fhir-r5", "5.0")])
def test_a_report_as_fhir_states_its_release(client, kind, version):
    answer = client.post(f"/report?object={kind}", content=FILM)
    assert answer.headers["content-type"] == f"application/fhir+json; fhirVersion={version}"
    made = [entry["resource"] for entry in answer.json()["entry"]]
    assert [resource["resourceType"] for resource in made] == ["DiagnosticReport", "Device", *["Observation"] * 14]
    decided = {item["code"]["text"]: "valueCodeableConcept" in item for item in made[2:]}
    assert decided == {name: name in {"No Finding", "Edema"} for name in FINDING_NAMES}


def test_fhir_and_dicom_are_requests_of_their_own(client):
    assert "a request each" in problem(client.post("/report?object=fhir&object=sr", content=FILM), 422, "invalid_query")
    picture = png_file(np.eye(128, dtype=np.uint8) * 200)
    assert "DICOM" in problem(client.post("/report?object=fhir", content=picture), 422, "no_source_object")
