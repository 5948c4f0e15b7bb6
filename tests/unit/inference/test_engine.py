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
    engine = TorchEngine(backbone.train(), "cpu", threads=torch.get_num_threads())
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


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device")
def test_cuda_answers_as_the_cpu_does():
    backbone = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Flatten(), nn.Linear(3 * 81, 7))
    patches = torch.rand(5, 1, 11, 11)
    expected = TorchEngine(backbone, "cpu").patch_logits(patches)
    torch.testing.assert_close(TorchEngine(backbone, "cuda").patch_logits(patches), expected, atol=1e-3, rtol=0)
