"""The OpenVINO engine: the same answers, kept exports, and what happens when they are damaged."""

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from app.errors import ConfigurationError
from app.inference import choice
from app.inference.choice import EngineOptions, make_engines
from app.inference.engine import TorchEngine
from app.inference.export import Export, export, exported, keep, read
from app.inference.openvino_engine import OpenVinoEngine, chunk_of
from app.inference.probe import probe_patches
from app.patchnet.openvino import core

SIDE = 11


@pytest.fixture
def backbone():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 81, 7)).eval()


@pytest.mark.parametrize("count", [1, 4, 5, 23])
def test_the_answers_are_those_of_torch_for_any_number_of_patches(backbone, count):
    engine = OpenVinoEngine(exported(lambda: backbone, SIDE, 4, "", None).model)
    patches = torch.rand(count, 1, SIDE, SIDE)
    logits = engine.patch_logits(patches)
    assert logits.shape == (count, 7)
    torch.testing.assert_close(logits, backbone(patches).detach(), atol=1e-5, rtol=0)
    torch.testing.assert_close(engine.patch_logits(patches.flip(0)), logits.flip(0), atol=1e-6, rtol=0)


def test_no_patches_give_no_logits(backbone):
    engine = OpenVinoEngine(exported(lambda: backbone, SIDE, 4, "", None).model)
    assert engine.patch_logits(torch.zeros(0, 1, SIDE, SIDE)).shape == (0, 7)


def test_two_engines_share_a_network_and_each_gets_its_own_answers(backbone):
    first = OpenVinoEngine(exported(lambda: backbone, SIDE, 4, "", None).model)
    engines = [first, first.sibling()]
    batches = [torch.rand(9 + index, 1, SIDE, SIDE) for index in range(40)]
    with ThreadPoolExecutor(2) as pool:
        halves = [
            pool.submit(lambda e=e, n=n: [e.patch_logits(b) for b in batches[n::2]]) for n, e in enumerate(engines)
        ]
        answers = [half.result() for half in halves]
    for index, batch in enumerate(batches):
        expected = backbone(batch).detach()
        torch.testing.assert_close(answers[index % 2][index // 2], expected, atol=1e-5, rtol=0)


def test_a_chunk_has_as_many_pixels_for_any_patch_size():
    assert (chunk_of(64), chunk_of(128), chunk_of(512)) == (32, 8, 1)


def never():
    raise AssertionError("built again")


def test_a_second_start_reads_what_the_first_one_kept_and_builds_no_network(backbone, tmp_path):
    first = exported(lambda: backbone, SIDE, 4, "abc", tmp_path)
    kept = exported(never, SIDE, 4, "abc", tmp_path)
    patches = torch.rand(4, 1, SIDE, SIDE)
    logits = OpenVinoEngine(kept.model).patch_logits(patches)
    torch.testing.assert_close(logits, backbone(patches).detach(), atol=1e-5, rtol=0)
    assert (kept.answers == first.answers).all()
    assert (kept.answers == backbone(probe_patches(SIDE)).detach().numpy()).all()
    with pytest.raises(AssertionError):
        exported(never, SIDE, 4, "other weights", tmp_path)


def test_kept_answers_of_another_network_are_noticed(backbone, tmp_path):
    make_engines(lambda: backbone, SIDE, EngineOptions(engine="openvino", key="abc", cache=tmp_path))
    (folder,) = tmp_path.iterdir()
    other = export(backbone, SIDE, chunk_of(SIDE))
    shutil.rmtree(folder)
    keep(Export(other.model, other.answers + 1), folder)
    with pytest.raises(ConfigurationError, match="differ from torch's by 1"):
        make_engines(never, SIDE, EngineOptions(engine="openvino", key="abc", cache=tmp_path))


@pytest.mark.parametrize("name", ["model.bin", "model.xml", "answers.npy", "digests.json"])
@pytest.mark.parametrize("damage", [lambda file: file.write_bytes(file.read_bytes()[:-9]), os.remove])
def test_a_damaged_export_is_made_again(backbone, tmp_path, name, damage):
    exported(lambda: backbone, SIDE, 4, "abc", tmp_path)
    (folder,) = tmp_path.iterdir()
    damage(folder / name)
    patches = torch.rand(3, 1, SIDE, SIDE)
    logits = OpenVinoEngine(exported(lambda: backbone, SIDE, 4, "abc", tmp_path).model).patch_logits(patches)
    torch.testing.assert_close(logits, backbone(patches).detach(), atol=1e-5, rtol=0)
    assert {path.name for path in folder.iterdir()} == {"model.bin", "model.xml", "answers.npy", "digests.json"}


def test_starts_side_by_side_leave_one_whole_export(backbone, tmp_path):
    fresh = export(backbone, SIDE, 4)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: keep(fresh, tmp_path / "abc"), range(8)))
    assert [path.name for path in tmp_path.iterdir()] == ["abc"]
    assert read(tmp_path / "abc") is not None


def test_a_cache_that_cannot_be_written_is_done_without(backbone, tmp_path):
    (tmp_path / "file").write_text("in the way")
    engines = make_engines(lambda: backbone, SIDE, EngineOptions(engine="openvino", cache=tmp_path / "file"))
    assert [type(engine) for engine in engines] == [OpenVinoEngine, OpenVinoEngine]


def test_auto_serves_with_torch_what_openvino_answers_differently(backbone, tmp_path, monkeypatch):
    monkeypatch.setattr(choice, "_difference", lambda *_: 0.1)
    (engine,) = make_engines(lambda: backbone, SIDE, EngineOptions())
    assert isinstance(engine, TorchEngine)
    with pytest.raises(ConfigurationError, match="differ"):
        make_engines(lambda: backbone, SIDE, EngineOptions(engine="openvino"))


def test_auto_serves_with_torch_where_openvino_is_not_installed(backbone, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    for name in ("app.patchnet.openvino", "app.inference.export", "app.inference.openvino_engine"):
        monkeypatch.delitem(sys.modules, name)
    (engine,) = make_engines(lambda: backbone, SIDE, EngineOptions())
    assert isinstance(engine, TorchEngine)
    with pytest.raises(ConfigurationError, match="OpenVINO is not installed"):
        make_engines(lambda: backbone, SIDE, EngineOptions(engine="openvino"))


def test_openvino_is_refused_for_cuda(backbone):
    with pytest.raises(ConfigurationError, match="CPU"):
        make_engines(lambda: backbone, SIDE, EngineOptions(device="cuda", engine="openvino"))


def test_a_precision_that_the_cpu_lacks_is_refused_and_not_quietly_replaced(backbone):
    capable = "BF16" in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    model = exported(lambda: backbone, SIDE, 4, "", None).model
    if capable:
        engine = OpenVinoEngine(model, precision="bfloat16")
        assert engine.precision == "bfloat16"
        patches = torch.rand(5, 1, SIDE, SIDE)
        torch.testing.assert_close(engine.patch_logits(patches), backbone(patches).detach(), atol=0.1, rtol=0)
    else:
        with pytest.raises(ConfigurationError, match="bfloat16"):
            OpenVinoEngine(model, precision="bfloat16")


NICE = """
import os
from torch import nn
from app.patchnet.openvino import convert
from app.inference.openvino_engine import OpenVinoEngine
threads = lambda: {int(name) for name in os.listdir("/proc/self/task")}
model = convert(nn.Sequential(nn.Flatten(), nn.Linear(121, 2)), 11, 4)
before = threads()
engine = OpenVinoEngine(model, threads=2)
print(os.getpriority(os.PRIO_PROCESS, 0), *(os.getpriority(os.PRIO_PROCESS, one) for one in threads() - before))
"""


@pytest.mark.thorough
def test_threads_that_calculate_let_those_that_answer_go_first():
    done = subprocess.run([sys.executable, "-c", NICE], capture_output=True, text=True, check=True)
    own, *others = (int(niceness) for niceness in done.stdout.split())
    assert others
    assert min(others) > own


SIGNALLED = """
import signal
from torch import nn
from app.patchnet.openvino import convert, core
model = convert(nn.Sequential(nn.Flatten(), nn.Linear(121, 2)), 11, 4)
one, other = (core().compile_model(model, "CPU") for _ in range(2))
del one
del other
signal.signal(signal.SIGUSR1, lambda *_: print("handled"))
signal.raise_signal(signal.SIGUSR1)
"""


@pytest.mark.thorough
def test_signals_are_handled_after_compiled_networks_are_gone():
    done = subprocess.run([sys.executable, "-c", SIGNALLED], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "handled\n"), done.stderr
