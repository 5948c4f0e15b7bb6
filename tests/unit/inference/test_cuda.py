"""CUDA: which engines are chosen (on any machine), and the captured graphs (where there is a device)."""

import pytest
import torch
from torch import nn

from app.inference import choice
from app.inference.choice import EngineOptions, make_engines
from app.inference.cuda_engine import CudaEngine
from app.inference.engine import TorchEngine
from app.patchnet.backbones import build

SIDE = 11


@pytest.fixture
def backbone():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 81, 7)).eval()


class Captured:
    """Stands for the captured engine: answers as the backbone does, plus ``off``."""

    device, precision = "cuda", "float32"
    off, failure = 0.0, None

    def __init__(self, backbone, patch_size, **options):
        if self.failure:
            raise self.failure
        self.backbone, self.options = backbone, options

    def patch_logits(self, patches):
        return self.backbone(patches).detach() + self.off


@pytest.fixture
def two_devices(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(choice, "CudaEngine", Captured)
    plain = TorchEngine
    monkeypatch.setattr(
        choice, "TorchEngine", lambda backbone, device, *_: plain(backbone, "cpu") if device == "cpu" else device
    )


def test_every_visible_device_gets_an_engine(backbone, two_devices):
    engines = make_engines(
        lambda: backbone, SIDE, EngineOptions(device="cuda", smallest=4, largest=9, precision="bfloat16")
    )
    assert [engine.options["index"] for engine in engines] == [0, 1]
    assert {(e.options["smallest"], e.options["largest"], e.options["precision"]) for e in engines} == {
        (4, 9, "bfloat16")
    }


@pytest.mark.parametrize("trouble", [{"off": 0.1}, {"failure": RuntimeError()}, {"failure": torch.OutOfMemoryError()}])
def test_graphs_that_fail_or_answer_differently_are_not_used(backbone, two_devices, monkeypatch, trouble):
    for name, value in trouble.items():
        monkeypatch.setattr(Captured, name, value)
    assert make_engines(lambda: backbone, SIDE, EngineOptions(device="cuda")) == ["cuda:0", "cuda:1"]


def test_torch_can_be_asked_for(backbone, two_devices):
    assert make_engines(lambda: backbone, SIDE, EngineOptions(device="cuda", engine="torch")) == ["cuda:0", "cuda:1"]


cuda = [pytest.mark.cuda, pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device")]


@pytest.fixture(scope="module")
def large():
    torch.manual_seed(0)
    return build("efficientnet_v2_s", 14).eval()


class TestOnADevice:
    pytestmark = cuda

    @pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 300])
    @pytest.mark.parametrize(("precision", "atol"), [("float32", 5e-3), ("bfloat16", 0.5), ("float16", 0.1)])
    def test_the_answers_are_those_of_the_cpu_for_any_number_of_patches(self, large, precision, atol, count):
        engine = CudaEngine(large, 64, index=0, smallest=64, largest=128, precision=precision)
        patches = torch.rand(count, 1, 64, 64)
        logits = engine.patch_logits(patches)
        assert logits.shape == (count, 14)
        torch.testing.assert_close(logits, TorchEngine(large, "cpu").patch_logits(patches), atol=atol, rtol=0)

    def test_sizes_do_not_disturb_each_other(self, large):
        engine = CudaEngine(large, 64, index=0, smallest=64, largest=256, precision="float32")
        patches = torch.rand(256, 1, 64, 64)
        expected = engine.patch_logits(patches)
        for count in (3, 200, 64, 130, 256, 1):
            torch.testing.assert_close(engine.patch_logits(patches[:count]), expected[:count], atol=1e-4, rtol=0)

    def test_torch_answers_the_same_uncaptured(self, large):
        patches = torch.rand(5, 1, 64, 64)
        expected = TorchEngine(large, "cpu").patch_logits(patches)
        torch.testing.assert_close(TorchEngine(large, "cuda").patch_logits(patches), expected, atol=5e-3, rtol=0)

    def test_auto_takes_the_graphs(self, backbone):
        engines = make_engines(lambda: backbone, SIDE, EngineOptions(device="cuda", smallest=4, largest=16))
        assert len(engines) == torch.cuda.device_count()
        assert all(isinstance(engine, CudaEngine) for engine in engines)
