"""Checkpoints of the paper's authors: tensors are read, and anything else is refused and named."""

import os
import pickle

import pytest
import torch

from app.errors import ArtifactError
from app.patchnet import artifact
from app.patchnet.backbones import build
from app.patchnet.checkpoint import read_checkpoint
from tests.artifacts import description


class Malicious:
    def __reduce__(self):
        return os.mkdir, ("pwned",)


def authors_state(prefix="_orig_mod.baseBackbone."):
    torch.manual_seed(1)
    backbone = build("efficientnet_v2_s", 14)
    return backbone, {prefix + key: value for key, value in backbone.state_dict().items()}


@pytest.mark.parametrize("prefix", ["_orig_mod.baseBackbone.", "baseBackbone."])
def test_the_authors_checkpoint_is_read(tmp_path, prefix):
    backbone, state = authors_state(prefix)
    torch.save(state, tmp_path / "weights.pt")
    described = description("authors", "efficientnet_v2_s")
    network = artifact.network_from(read_checkpoint(tmp_path / "weights.pt"), described)
    patches = torch.rand(2, 1, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(network.backbone(patches), backbone.eval()(patches))


def test_a_checkpoint_with_code_in_it_is_refused_and_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for save in (torch.save, lambda content, path: path.write_bytes(pickle.dumps(content))):
        save({"_orig_mod.baseBackbone.x": Malicious()}, tmp_path / "evil.pt")
        with pytest.raises(ArtifactError, match=r"posix\.mkdir.*would run as code"):
            read_checkpoint(tmp_path / "evil.pt")
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([torch.zeros(1)], "does not hold a state dict"),
        ({"epoch": torch.zeros(1)}, "not weights"),
        ({"baseBackbone.x": 3}, "not weights"),
    ],
)
def test_a_checkpoint_of_something_else_is_refused(tmp_path, content, message):
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(ArtifactError, match=message):
        read_checkpoint(tmp_path / "other.pt")


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path):
    (tmp_path / "text.pt").write_text("hello")
    with pytest.raises(ArtifactError, match="not a checkpoint"):
        read_checkpoint(tmp_path / "text.pt")
    with pytest.raises(ArtifactError, match="cannot be read"):
        read_checkpoint(tmp_path / "missing.pt")
