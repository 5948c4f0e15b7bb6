import pytest
import torch
from torch import nn
from torchvision.models import efficientnet_v2_s

from app.patchnet.model import PatchNet, global_logits, probabilities, split_patches


class MeanAndMaximum(nn.Module):
    """Two 'findings' of a patch: its mean and its maximum."""

    def forward(self, patches):
        return torch.stack((patches.mean(dim=(1, 2, 3)), patches.amax(dim=(1, 2, 3))), dim=1)


def test_patches_are_cut_row_major():
    image = torch.arange(36.0).reshape(1, 1, 6, 6)
    patches = split_patches(image, 2)
    assert patches.shape == (9, 1, 2, 2)
    assert patches[1, 0].tolist() == [[2, 3], [8, 9]]
    assert patches[3, 0].tolist() == [[12, 13], [18, 19]]


def test_a_patch_size_that_does_not_tile_is_refused():
    with pytest.raises(ValueError, match="tile"):
        split_patches(torch.zeros(1, 1, 6, 6), 4)
    with pytest.raises(ValueError, match="tile"):
        PatchNet(nn.Identity(), 512, 60)


def test_a_batch_equals_its_single_results():
    network = PatchNet(MeanAndMaximum(), image_size=21, patch_size=7)
    images = torch.rand(3, 1, 21, 21)
    batch = network.patch_logits(images)
    assert batch.shape == (3, 9, 2)
    for index in range(3):
        torch.testing.assert_close(batch[index], network.patch_logits(images[index : index + 1])[0])


def test_shifting_the_image_by_one_patch_shifts_the_grid_by_one_cell():
    network = PatchNet(MeanAndMaximum(), image_size=35, patch_size=7)
    image = torch.rand(1, 1, 35, 35)
    grid = network.patch_logits(image).reshape(5, 5, 2)
    shifted = network.patch_logits(image.roll(7, dims=2)).reshape(5, 5, 2)
    torch.testing.assert_close(shifted[1:], grid[:-1])


def test_an_image_of_another_size_is_refused():
    with pytest.raises(ValueError, match="21, 21"):
        PatchNet(MeanAndMaximum(), 21, 7).patch_logits(torch.zeros(1, 1, 14, 14))


def test_one_patch_is_the_image_level_classifier():
    image = torch.rand(2, 1, 21, 21)
    network = PatchNet(MeanAndMaximum(), 21, 21)
    torch.testing.assert_close(network(image), MeanAndMaximum()(image))


def test_the_sigmoid_comes_after_the_mean():
    logits = torch.tensor([[[-4.0, 0.0], [8.0, 2.0]]])
    torch.testing.assert_close(global_logits(logits), torch.tensor([[2.0, 1.0]]))
    torch.testing.assert_close(probabilities(logits), torch.sigmoid(torch.tensor([[2.0, 1.0]])))


class AuthorsDefinition(nn.Module):
    """The forward pass as the paper's code defines it, for comparison: unfold, classify, mean."""

    def __init__(self, backbone):
        super().__init__()
        self.base = backbone

    def forward(self, image):
        batch, channels, _, _ = image.shape
        cut = image.unfold(2, 64, 64).unfold(3, 64, 64)  # [B, 1, P, P, p, p]
        count = cut.shape[2] * cut.shape[3]
        stacked = cut.contiguous().view(batch, channels, count, 64, 64).permute(0, 2, 1, 3, 4)
        logits = self.base(stacked.reshape(batch * count, channels, 64, 64)).view(batch, count, -1)
        return logits, logits.mean(dim=1)


@torch.inference_mode()
def test_the_forward_pass_agrees_with_the_authors_definition():
    torch.manual_seed(0)
    backbone = efficientnet_v2_s(num_classes=14)
    backbone.features[0][0] = nn.Conv2d(1, 24, 3, stride=2, padding=1, bias=False)
    backbone.eval()
    images = torch.rand(2, 1, 512, 512)
    patch_logits, logits = AuthorsDefinition(backbone)(images)
    network = PatchNet(backbone).eval()
    torch.testing.assert_close(network.patch_logits(images), patch_logits, atol=1e-5, rtol=0)
    torch.testing.assert_close(network(images), logits, atol=1e-5, rtol=0)
