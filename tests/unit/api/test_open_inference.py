"""The Open Inference Protocol: predictions as tensors, in JSON or binary, and errors that its clients read."""

import base64
import json

import numpy as np
import pytest
from fastapi.testclient import TestClient

from app.patchnet.findings import FINDING_NAMES
from app.runtime.application import create_app
from app.settings import Settings
from tests.artifacts import records_with_points, save_small_artifact
from tests.factories import chest_dicom

FILM = chest_dicom()
INFER = "/v2/models/one/infer"
LETTER, TOO_MUCH = (base64.b64encode(content).decode() for content in (b"a letter", bytes(2**20 + 1)))
POINTS = {"Edema": ("validated", {"balanced": 0.001, "specific": 0.999}), "Fracture": ("untrained", {})}


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    save_small_artifact(folder, "one", findings=records_with_points(POINTS))
    configured = Settings(models_dir=folder, model="one", device="cpu", decode_workers=1, max_body_bytes=2**20)
    with TestClient(create_app(configured)) as opened:
        yield opened


def image(**changes):
    return {"name": "image", "shape": [1], "datatype": "BYTES", "data": [base64.b64encode(FILM).decode()]} | changes


def asked(*inputs, **more):
    return {"inputs": list(inputs) or [image()], **more}


def in_binary(file, size=None, **more):
    """The body and headers of a request whose image is binary."""
    element = len(file).to_bytes(4, "little") + file
    parameters = {"binary_data_size": len(element) if size is None else size}
    text = json.dumps(asked({"name": "image", "shape": [1], "datatype": "BYTES", "parameters": parameters}, **more))
    return {"content": text.encode() + element, "headers": {"Inference-Header-Content-Length": str(len(text))}}


def tensors(answer):
    """The tensors of an answer by name, and its JSON."""
    assert answer.status_code == 200, answer.text
    length = answer.headers.get("inference-header-content-length")
    content = json.loads(answer.content if length is None else answer.content[: int(length)])
    binary, found = answer.content[int(length) :] if length else b"", {}
    for tensor in content["outputs"]:
        kind = {"FP32": np.float32, "INT8": np.int8}[tensor["datatype"]]
        size = (tensor["parameters"] or {}).get("binary_data_size", 0)
        values = np.frombuffer(binary[:size], kind) if size else np.array(tensor["data"], kind)
        binary = binary[size:]
        found[tensor["name"]] = values.reshape(tensor["shape"])
    assert not binary
    return found, content


def test_the_tensors_are_the_prediction(client):
    found, content = tensors(client.post(INFER, json=asked(id="7")))
    body = client.post("/predict?grids=true", content=FILM).json()
    assert (content["model_name"], content["model_version"], content["id"]) == ("one", body["model"]["version"], "7")
    expected = [np.nan if item["probability"] is None else item["probability"] for item in body["findings"]]
    assert np.allclose(found["probabilities"], [expected], equal_nan=True, atol=1e-6)
    assert found["decisions"].tolist() == [[-1 if i["positive"] is None else i["positive"] for i in body["findings"]]]
    edema = FINDING_NAMES.index("Edema")
    assert (found["patch_logits"][0, edema] == np.array(body["grids"][edema]["patch_logits"], np.float32)).all()
    assert np.isnan(found["patch_logits"][0, FINDING_NAMES.index("Fracture")]).all()


def test_binary_and_json_have_the_same_values(client):
    plain, _ = tensors(client.post(INFER, json=asked()))
    answer = client.post(INFER, **in_binary(FILM, parameters={"binary_data_output": True}))
    assert answer.headers["content-type"] == "application/octet-stream"
    binary, _ = tensors(answer)
    assert all(np.array_equal(plain[name], binary[name], equal_nan=True) for name in plain)


def test_only_the_outputs_asked_for_are_returned_each_in_its_form(client):
    outputs = [{"name": "decisions"}, {"name": "probabilities", "parameters": {"binary_data": True}}]
    found, content = tensors(client.post(INFER, json=asked(outputs=outputs)))
    assert list(found) == ["decisions", "probabilities"]
    assert content["outputs"][0]["data"] is not None
    assert content["outputs"][1]["data"] is None


def test_a_request_chooses_its_operating_point(client):
    found, _ = tensors(client.post(INFER, json=asked(parameters={"operating_point": "specific"})))
    assert found["decisions"][0, FINDING_NAMES.index("Edema")] == 0


@pytest.mark.parametrize(
    ("request_", "status", "detail"),
    [
        ({"json": asked(image(name="pixels"))}, 422, "one input named 'image'"),
        ({"json": asked(image(), image())}, 422, "found 2"),
        ({"json": asked(image(datatype="FP32"))}, 422, "must be BYTES"),
        ({"json": asked(image(shape=[2]))}, 422, "shape [1]"),
        ({"json": asked(image(data=["not base64!"]))}, 422, "are not base64"),
        ({"json": asked(image(data=[1]))}, 422, "one string"),
        ({"json": asked(image(data=[""]))}, 400, "is empty"),
        (
            {"json": asked(image(data=[LETTER]))},
            422,
            "neither DICOM, PNG nor JPEG",
        ),
        ({"json": asked(outputs=[{"name": "scores"}])}, 422, "no output 'scores'"),
        ({"json": {"id": "7"}}, 400, "inputs: Field required"),
        ({"content": b"not JSON"}, 400, "Invalid JSON"),
        ({"content": b"{}", "headers": {"Inference-Header-Content-Length": "9"}}, 400, "not a length within"),
        (in_binary(FILM, size=7), 400, "not one element"),
        ({"json": asked(image(data=[TOO_MUCH]))}, 413, "larger than the limit"),
        ({"json": asked(parameters={"operating_point": "none"})}, 422, "operating point"),
    ],
)
def test_a_bad_request_is_refused_where_its_clients_read_the_reason(client, request_, status, detail):
    answer = client.post(INFER, **request_)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert detail in answer.json()["error"] == answer.json()["detail"]


def test_other_routes_have_no_second_detail(client):
    assert "error" not in client.post("/predict", content=b"neither DICOM nor PNG").json()


@pytest.mark.parametrize("path", ["", "/versions/0.0.0"])
def test_metadata_describe_the_tensors_that_are_returned(client, path):
    version = client.get("/model").json()["manifest"]["version"]
    path = path.replace("0.0.0", version)
    described = client.get(f"/v2/models/one{path}").json()
    found, content = tensors(client.post(f"/v2/models/one{path}/infer", json=asked()))
    kinds = {tensor["name"]: tensor["datatype"] for tensor in content["outputs"]}
    assert {tensor["name"]: tensor["datatype"] for tensor in described["outputs"]} == kinds
    assert {tensor["name"]: tensor["shape"] for tensor in described["outputs"]} == {
        name: list(values.shape) for name, values in found.items()
    }
    assert client.get(f"/v2/models/one{path}/ready").json() == {"ready": True}


@pytest.mark.parametrize("path", ["/v2/models/two", "/v2/models/one/versions/9", "/v2/models/one/versions/9/ready"])
def test_unknown_models_and_versions_are_refused(client, path):
    answer = client.get(path)
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:medpatchnet:problem:unknown_model")


def test_the_server_describes_itself_and_its_health(client):
    assert client.get("/v2").json()["extensions"] == ["binary_tensor_data"]
    assert (client.get("/v2/health/live").status_code, client.get("/v2/health/ready").status_code) == (200, 200)
