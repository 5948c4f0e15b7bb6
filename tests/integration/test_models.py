"""From nothing to a served model of published weights: two commands, against a server that behaves as the hub does."""

from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from tests.authors import authors_checkpoint, authors_model
from tests.hub import TOKEN, running_hub
from tests.integration.conftest import medpatchnet, running

pytestmark = [pytest.mark.integration, pytest.mark.thorough]


def a_square_film() -> np.ndarray:
    """512 × 512 pixels, so that the model reads them as they are."""
    row, column = np.mgrid[0:512, 0:512] / 512
    return np.rint(255 * (0.5 + 0.3 * np.sin(9 * row) * np.cos(7 * column) - 0.1 * column)).astype(np.uint8)


def png(film: np.ndarray) -> bytes:
    stream = BytesIO()
    Image.fromarray(film).save(stream, "PNG")
    return stream.getvalue()


def test_two_commands_serve_the_authors_weights_with_the_authors_logits(tmp_path, monkeypatch):
    model, film = authors_model(), a_square_film()
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with running_hub(weights=authors_checkpoint(model)) as hub:
        hub.gated = True
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        pulled = medpatchnet("models", "pull", "medicalpatchnet", "--accept-licence", models_dir=tmp_path / "models")
    assert pulled.returncode == 0, pulled.stderr
    with running("--model", "medicalpatchnet", models_dir=tmp_path / "models") as service, service.client() as client:
        answer = client.post("/predict", content=png(film), headers={"Content-Type": "image/png"}).json()
    with torch.inference_mode():
        wanted = model(torch.as_tensor(film)[None, None].float() / 255)[0]
    served = torch.tensor([finding["logit"] for finding in answer["findings"]])
    torch.testing.assert_close(served, wanted, atol=1e-4, rtol=0)
    assert wanted.std() > 0.01
    assert {finding["status"] for finding in answer["findings"]} == {"imported"}


def test_a_failed_pull_ends_with_a_message_and_status_1(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with running_hub(weights=b"x" * 1000) as hub:
        hub.gated = True
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        done = medpatchnet("models", "pull", "medicalpatchnet", "--accept-licence", models_dir=tmp_path / "models")
    assert done.returncode == 1
    assert "is gated" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "models").exists()
