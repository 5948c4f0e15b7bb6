"""Saliency methods on small networks whose answers are known."""

import numpy as np
import pytest
import torch
from pytorch_grad_cam import EigenCAM
from torch import nn

from app.patchnet import backbones
from app.patchnet.grid import Lattice
from app.patchnet.model import PatchNet
from training.compare.compiled import compiled
from training.saliency_methods import (
    ActivationMaps,
    Gradients,
    Occluded,
    PatchEvidence,
    ThinEigenCAM,
    TrivialBaselines,
    WithSmoothed,
    last_spatial_layer,
    mix_up_shifts,
    smoothed,
)

COLUMNS = [10, 2]


class Brightness(nn.Module):
    """A backbone whose logit c of a patch is c times its mean brightness."""

    def forward(self, patches):
        return patches.mean(dim=(1, 2, 3))[:, None] * torch.arange(14.0)


@pytest.fixture
def image():
    bright = torch.zeros(1, 128, 128)
    bright[0, 32:64, 96:128] = 1.0
    return bright


@pytest.fixture(scope="module")
def whole():
    torch.manual_seed(0)
    return PatchNet(backbones.build("efficientnet_lite0", 14), image_size=128, patch_size=128).eval()


def peak(saliency_map):
    return np.unravel_index(saliency_map.argmax(), saliency_map.shape)


def test_patch_evidence_peaks_where_the_evidence_is(image):
    explainer = PatchEvidence(PatchNet(Brightness(), image_size=128, patch_size=32), offsets=(16, 13), strides=(5,))
    maps = explainer.maps(image, COLUMNS)
    assert set(maps) == set(explainer.names)
    assert maps["patch grid"].shape == (2, 4, 4)
    assert peak(maps["patch grid"][0]) == (1, 3)
    for name in ("patch, offset 16", "patch, offset 13", "patch, stride 5", "patch, stride 5, positive"):
        assert maps[name].shape == (2, 128, 128)
        row, column = peak(maps[name][0])
        assert 32 <= row < 64
        assert 96 <= column < 128
        np.testing.assert_allclose(maps[name][0], 5 * maps[name][1], rtol=1e-5)  # logits 10 and 2 times brightness


def test_a_smoothed_map_is_highest_where_much_evidence_is_together():
    scattered = np.zeros((1, 16, 16), np.float32)
    scattered[0, 2, 13] = 3.0  # the highest point, alone
    scattered[0, 9:14, 2:7] = 1.0
    scattered[0, :, 15] = -50.0  # evidence against does not count
    found = smoothed(scattered)
    assert found.shape == (1, 128, 128)
    row, column = peak(found[0])
    assert 72 <= row < 112
    assert 16 <= column < 56
    assert found.min() >= 0
    np.testing.assert_allclose(smoothed(scattered * 2), found * 2, rtol=1e-5)


def test_smoothing_draws_inwards_as_a_prior_would():
    row, column = peak(smoothed(np.ones((1, 16, 16), np.float32))[0])
    assert abs(row - 63.5) < 5
    assert abs(column - 63.5) < 5


def test_smoothed_maps_come_beside_the_others_from_the_same_passes(image):
    explainer = WithSmoothed(TrivialBaselines())
    maps = explainer.maps(image, COLUMNS)
    assert tuple(maps) == explainer.names == ("random", "centre", "random, smoothed", "centre, smoothed")
    np.testing.assert_array_equal(maps["random, smoothed"], smoothed(maps["random"]))


def test_the_smoothed_patch_map_is_of_probabilities(image):
    explainer = PatchEvidence(PatchNet(Brightness(), image_size=128, patch_size=32), offsets=(), strides=(5,))
    maps = explainer.maps(image, COLUMNS)
    probabilities = 1 / (1 + np.exp(-maps["patch, stride 5"]))
    np.testing.assert_allclose(maps["patch probability, smoothed"], smoothed(probabilities), rtol=1e-5)


def test_the_grid_is_the_decision(image):
    network = PatchNet(Brightness(), image_size=128, patch_size=32)
    maps = PatchEvidence(network).maps(image, COLUMNS)
    torch.testing.assert_close(torch.from_numpy(maps["patch grid"]).mean(dim=(1, 2)), network(image[None])[0, COLUMNS])


def test_mixed_up_shifts_are_those_of_the_authors_broadcast():
    """Against their multiplication itself, shift by shift, in batches of four."""
    lattice = Lattice.regular(image_size=48, patch_size=16, offset=4)  # 4 × 4 shifts of 3 × 3 patches
    evidence = torch.randn(lattice.patches, 5, generator=torch.Generator().manual_seed(1))
    grids = evidence.reshape(3, 4, 3, 4, 5).permute(1, 3, 0, 2, 4).reshape(16, 9, 5)
    products = torch.cat(
        [batch[None] * batch.mean(dim=1).sigmoid()[:, None, None, :] for batch in grids.split(4)]
    ).reshape(-1, 9, 5)
    ours = mix_up_shifts(evidence, lattice).reshape(3, 4, 3, 4, 5).permute(1, 3, 0, 2, 4).reshape(16, 9, 5)
    torch.testing.assert_close(ours, products[:16])
    assert not torch.allclose(ours, grids)


def test_the_last_layer_with_rows_and_columns_is_found(whole):
    assert last_spatial_layer(whole) is whole.backbone.bn2


def test_activation_maps_have_the_images_size_and_differ_by_finding(whole, image):
    maps = ActivationMaps(whole).maps(image, COLUMNS)
    assert set(maps) == {"Grad-CAM", "Grad-CAM++", "Eigen-CAM", "HiResCAM", "LayerCAM"}
    for name, found in maps.items():
        assert found.shape == (2, 128, 128)
        assert np.isfinite(found).all()
        assert np.array_equal(*found) == (name == "Eigen-CAM")  # which knows no finding


def test_the_thin_decomposition_gives_the_librarys_eigen_cam(whole, image):
    layer = last_spatial_layer(whole)
    with ThinEigenCAM(whole, [layer]) as thin, EigenCAM(whole, [layer]) as full:
        ours, theirs = thin(image[None], None), full(image[None], None)
    assert np.abs(ours - theirs).max() < 1e-4 or np.abs(1 - ours - theirs).max() < 1e-4  # an axis has no sign


def test_a_compiled_network_gives_the_same_logits_of_any_number_of_images(whole):
    fast = compiled(whole)
    images = torch.rand(3, 1, 128, 128, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        for count in (1, 3):
            torch.testing.assert_close(fast(images[:count]), whole(images[:count]), atol=1e-4, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["efficientnet_v2_s", "convnext_base"])
def test_every_method_explains_the_papers_backbones(backbone):
    network = PatchNet(backbones.build(backbone, 14), image_size=128, patch_size=128).eval()
    film = torch.rand(1, 128, 128, generator=torch.Generator().manual_seed(2))
    for explainer in (ActivationMaps(network), Gradients(network), Occluded(compiled(network))):
        for maps in explainer.maps(film, COLUMNS).values():
            assert np.isfinite(maps).all()
            assert len(maps) == 2


def test_occlusion_and_gradients_find_what_a_network_reads(image):
    network = PatchNet(Brightness(), image_size=128, patch_size=128)
    for explainer in (Occluded(network, window=32, stride=32), Gradients(network)):
        (maps,) = explainer.maps(image, COLUMNS).values()
        row, column = peak(maps[0])
        scale = 128 / maps.shape[-1]
        assert 32 <= row * scale < 64
        assert 96 <= column * scale < 128


def test_trivial_baselines_do_not_depend_on_the_order_of_films(image):
    other = image.flip(2)
    first, second = TrivialBaselines().maps(image, COLUMNS), TrivialBaselines().maps(other, COLUMNS)
    assert not np.array_equal(first["random"], second["random"])
    np.testing.assert_array_equal(TrivialBaselines().maps(image, COLUMNS)["random"], first["random"])
    assert peak(first["centre"][0]) in {(7, 7), (7, 8), (8, 7), (8, 8)}
