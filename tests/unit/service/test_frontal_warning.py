"""The warning about an odd film reaches the caller; the film is answered all the same."""

from io import BytesIO

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from pydicom import dcmread

from app.runtime.application import create_app
from app.settings import Settings
from tests import factories as make
from tests.artifacts import save_small_artifact


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    save_small_artifact(folder, "one")
    with TestClient(create_app(Settings(models_dir=folder, model="one", decode_workers=1, device="cpu"))) as client:
        yield client


@pytest.mark.parametrize(("turns", "warned"), [(0, False), (1, True), (2, True), (3, True)])
def test_a_turned_film_is_answered_with_a_warning(client, turns, warned):
    dataset = dcmread(BytesIO(make.example("RG1_UNCR.dcm")))
    shown = 1 - dataset.pixel_array.astype(np.float32) / dataset.pixel_array.max()  # MONOCHROME1
    small = Image.fromarray(np.rint(shown * 255).astype(np.uint8)).resize((460, 488))
    answer = client.post("/predict", content=make.png_file(np.rot90(np.asarray(small), turns)))
    assert answer.status_code == 200
    assert ("not_frontal" in [warning["code"] for warning in answer.json()["warnings"]]) == warned
