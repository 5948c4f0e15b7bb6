import io
import re

import numpy as np
import pydicom
import pytest
from PIL import Image

from app.patchnet.findings import FINDING_NAMES
from tests.factories import example

pytestmark = pytest.mark.integration

DICOM = {"Content-Type": "application/dicom"}


def probabilities(answer):
    assert answer.status_code == 200, answer.text
    return {finding["name"]: finding["probability"] for finding in answer.json()["findings"]}


def largest_difference(left, right):
    trained = [name for name, value in left.items() if value is not None]
    assert len(trained) >= 10
    return max(abs(left[name] - right[name]) for name in trained)


@pytest.fixture(scope="module")
def lossless(client, rg1):
    return probabilities(client.post("/predict", content=rg1, headers=DICOM))


def test_the_answer_has_every_promised_field(client, rg1):
    answer = client.post("/predict", content=rg1, headers=DICOM)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert answer.headers["x-request-id"] == body["request_id"]
    assert body["model"]["patch_size"] == 64
    assert body["model"]["image_size"] == 512
    assert body["model"]["precision"] == "float32"
    assert len(body["model"]["weights_sha256"]) == 64
    image = body["image"]
    assert (image["format"], image["rows"], image["columns"]) == ("dicom", 1955, 1841)
    assert image["crop"] == {"row": 57, "column": 0, "size": 1841}
    assert (image["modality"], image["body_part"]) == ("CR", "CHEST")
    assert image["photometric_interpretation"] == "MONOCHROME1"
    assert all(image[f"{level}_instance_uid"] for level in ("study", "series", "sop"))
    assert [finding["name"] for finding in body["findings"]] == list(FINDING_NAMES)
    assert "cropped" in [warning["code"] for warning in body["warnings"]]
    assert "not_frontal" not in [warning["code"] for warning in body["warnings"]]
    assert set(body["timing_ms"]) == {"decode", "preprocess", "queue", "inference", "render", "total"}
    assert body["timing_ms"]["total"] >= body["timing_ms"]["inference"] > 0


def test_decisions_follow_from_probability_and_threshold(client, rg1):
    decides = {finding["name"]: finding["decides"] for finding in client.get("/findings").json()["findings"]}
    for finding in client.post("/predict", content=rg1, headers=DICOM).json()["findings"]:
        if finding["status"] == "untrained":
            assert [finding[key] for key in ("probability", "logit", "threshold", "positive")] == [None] * 4
        else:
            assert finding["probability"] == pytest.approx(1 / (1 + np.exp(-finding["logit"])), abs=1e-6)
            passes = finding["probability"] >= finding["threshold"]
            decided = passes and not finding["contradicted_by"]
            assert finding["positive"] is (decided if decides[finding["name"]] else None)


def test_fracture_is_untrained_and_null(client, rg1):
    findings = client.post("/predict", content=rg1, headers=DICOM).json()["findings"]
    fracture = next(finding for finding in findings if finding["name"] == "Fracture")
    assert (fracture["status"], fracture["probability"]) == ("untrained", None)


@pytest.mark.parametrize("name", ["RG1_UNCI.dcm", "RG1_UNCR.dcm", "RG1_J2KI.dcm"])
def test_the_encodings_of_one_film_agree(client, lossless, name):
    other = probabilities(client.post("/predict", content=example(name), headers=DICOM))
    assert largest_difference(lossless, other) <= 0.02


def test_monochrome1_and_its_inverted_monochrome2_twin_agree(client, lossless):
    dataset = pydicom.dcmread(io.BytesIO(example("RG1_UNCR.dcm")))
    largest = 2**dataset.BitsStored - 1
    dataset.PixelData = (largest - dataset.pixel_array).astype("<u2").tobytes()
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.pop("PresentationLUTShape", None)
    if "WindowCenter" in dataset:
        centers = np.atleast_1d(dataset.WindowCenter).astype(float)
        dataset.WindowCenter = [float(largest + 1 - center) for center in centers]
    twin = io.BytesIO()
    dataset.save_as(twin)
    answer = client.post("/predict", content=twin.getvalue(), headers=DICOM)
    assert largest_difference(lossless, probabilities(answer)) <= 1e-3


def test_multipart_octet_stream_and_no_type_are_the_same_image(client, rg1, lossless):
    sent = [
        client.post("/predict", files={"file": ("film.dcm", rg1, "application/dicom")}),
        client.post("/predict", content=rg1, headers={"Content-Type": "application/octet-stream"}),
        client.post("/predict", content=rg1, headers={"Content-Type": "image/png"}),  # the bytes decide
        client.post("/predict", content=rg1),
    ]
    for answer in sent:
        assert largest_difference(lossless, probabilities(answer)) == 0


@pytest.mark.parametrize(("form", "mode"), [("png", "L"), ("png", "I;16"), ("jpeg", "L")])
def test_raster_films_are_scored(client, form, mode):
    gradient = np.linspace(0, 1, 301 * 211, dtype=np.float32).reshape(301, 211)
    pixels = (gradient * (65535 if mode == "I;16" else 255)).astype(np.uint16 if mode == "I;16" else np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form)
    answer = client.post("/predict", content=file.getvalue(), headers={"Content-Type": f"image/{form}"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["image"]["format"] == form
    assert answer.json()["image"]["modality"] is None


def test_the_grids_add_up_to_the_logits(client, rg1):
    body = client.post("/predict?grids=true", content=rg1, headers=DICOM).json()
    assert [grid["finding"] for grid in body["grids"]] == list(FINDING_NAMES)
    for grid, finding in zip(body["grids"], body["findings"], strict=True):
        if finding["logit"] is None:
            assert grid["patch_logits"] is None
        else:
            patch_logits = np.array(grid["patch_logits"])
            assert patch_logits.shape == (8, 8)
            assert patch_logits.mean() == pytest.approx(finding["logit"], abs=1e-5)


def test_the_callers_request_id_and_trace_come_back(client, rg1):
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    headers = {**DICOM, "X-Request-ID": "ris-42.a_b", "traceparent": trace}
    answer = client.post("/predict", content=rg1, headers=headers)
    assert answer.headers["x-request-id"] == answer.json()["request_id"] == "ris-42.a_b"
    assert answer.headers["traceparent"] == trace


def test_a_request_id_that_is_not_sane_is_replaced(client, service):
    answer = client.get("/livez", headers={"X-Request-ID": "DOE^JOHN 1970"})
    assert len(answer.headers["x-request-id"]) == 32
    assert "DOE" not in service.log


def test_what_the_service_says_of_itself(client):
    listing = client.get("/findings").json()
    assert [finding["name"] for finding in listing["findings"]] == list(FINDING_NAMES)
    assert all(finding["code"]["scheme"] in {"SCT", "DCM", "99MPN"} for finding in listing["findings"])
    validated = [finding for finding in listing["findings"] if finding["status"] == "validated"]
    assert all(0.5 < finding["quality"]["auroc"] <= 1 for finding in validated)
    model = client.get("/model").json()
    assert model["manifest"]["weights_sha256"] == model["model"]["weights_sha256"]
    assert model["served"] == [model["model"]["name"]]
    assert "NIH" in model["card"]


def test_health(client):
    assert client.get("/livez").json() == {"status": "live"}
    for path in ("/readyz", "/health"):
        answer = client.get(path)
        assert answer.status_code == 200
        assert answer.json()["status"] == "ready"
        assert answer.json()["decode_workers"] > 0


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_a_page_asks_for_no_outside_asset(client, path):
    page = client.get(path)
    assert page.status_code == 200
    assert "http://" not in page.text
    assert "https://" not in page.text
    for asset in re.findall(r'(?:src|href)="([^"]+)"', page.text):
        assert asset.startswith("data:") or client.get(asset).status_code == 200, asset
