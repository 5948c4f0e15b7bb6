import pytest
import torch
from torch import nn

from app.errors import ConfigurationError
from app.inference.choice import choose_device
from app.inference.engine import TorchEngine


def test_the_engine_answers_as_the_backbone_does():
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(7))
    patches = torch.rand(5, 1, 11, 11)
    expected = backbone.eval()(patches).detach()
    engine = TorchEngine(backbone.train(), "cpu")
    logits = engine.patch_logits(patches)
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=0)
    assert not logits.requires_grad
    assert (engine.device, engine.precision) == ("cpu", "float32")


def test_auto_takes_cuda_where_there_is_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto") == "cuda"
    assert choose_device("cpu") == "cpu"


def test_asking_for_a_missing_cuda_device_is_an_error(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == "cpu"
    with pytest.raises(ConfigurationError, match="auto"):
        choose_device("cuda")


@pytest.mark.parametrize(("precision", "atol"), [("bfloat16", 0.05), ("float16", 0.01)])
def test_a_reduced_precision_is_told_and_close(precision, atol):
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 81, 7))
    patches = torch.rand(5, 1, 11, 11)
    engine = TorchEngine(backbone, "cpu", precision=precision)
    logits = engine.patch_logits(patches)
    assert (engine.precision, logits.dtype) == (precision, torch.float32)
    torch.testing.assert_close(logits, backbone.eval()(patches).detach(), atol=atol, rtol=0)
    assert next(backbone.parameters()).dtype == torch.float32
