"""Triton's client against the service."""

import numpy as np
import pytest
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

pytestmark = pytest.mark.integration
MODEL = "chest-lite0"


@pytest.fixture(scope="module")
def triton(service):
    with InferenceServerClient(service.url.removeprefix("http://"), network_timeout=60) as opened:
        yield opened


def image_of(file):
    tensor = InferInput("image", [1], "BYTES")
    tensor.set_data_from_numpy(np.array([file], np.object_))
    return tensor


def test_the_server_and_its_models_are_ready_and_described(triton):
    assert triton.is_server_live()
    assert triton.is_server_ready()
    assert triton.is_model_ready(MODEL)
    described = triton.get_model_metadata(MODEL)
    assert [tensor["name"] for tensor in described["inputs"]] == ["image"]


@pytest.mark.parametrize("binary", [True, False])
def test_its_probabilities_are_those_of_predict(triton, client, rg1, binary):
    outputs = [InferRequestedOutput("probabilities", binary_data=binary)]
    (row,) = triton.infer(MODEL, [image_of(rg1)], outputs=outputs).as_numpy("probabilities")
    findings = client.post("/predict", content=rg1, headers={"Content-Type": "application/dicom"}).json()["findings"]
    expected = [np.nan if item["probability"] is None else item["probability"] for item in findings]
    np.testing.assert_allclose(row, expected, atol=1e-5)


def test_all_outputs_come_by_default(triton, rg1):
    result = triton.infer(MODEL, [image_of(rg1)], request_id="7")
    assert result.get_response()["id"] == "7"
    assert result.as_numpy("decisions").dtype == np.int8
    assert result.as_numpy("patch_logits").shape[:2] == (1, 14)


def test_the_reason_of_a_refusal_reaches_the_client(triton):
    with pytest.raises(InferenceServerException, match="neither DICOM, PNG nor JPEG"):
        triton.infer(MODEL, [image_of(b"a letter")])
