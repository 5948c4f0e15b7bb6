import numpy as np
import torch
from torch import nn

from app.patchnet.model import PatchNet
from training.publish.calibration import fit_platt, fold


def test_folding_scales_every_patch_logit_and_their_mean_alike():
    torch.manual_seed(0)
    head = nn.Linear(49, 3)
    network = PatchNet(nn.Sequential(nn.Flatten(), head), 21, 7)
    images = torch.rand(2, 1, 21, 21)
    with torch.no_grad():
        before = network.patch_logits(images)
        fold(head, np.array([2.0, 0.5, 1.0]), np.array([-1.0, 0.25, 0.0]))
        after = network.patch_logits(images)
    expected = before * torch.tensor([2.0, 0.5, 1.0]) + torch.tensor([-1.0, 0.25, 0.0])
    torch.testing.assert_close(after, expected)
    torch.testing.assert_close(network(images), expected.mean(dim=1))


def test_platt_finds_the_scale_and_shift_of_the_truth():
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 3, (20_000, 1))
    labels = (generator.random((20_000, 1)) < 1 / (1 + np.exp(-(0.5 * logits - 1)))).astype(float)
    slopes, intercepts = fit_platt(logits, labels)
    np.testing.assert_allclose((slopes[0], intercepts[0]), (0.5, -1), atol=0.06)


def test_findings_without_both_classes_are_left_alone_and_slopes_stay_positive():
    logits = np.array([[1.0, 2.0], [2.0, 1.0], [3.0, 0.0], [4.0, -1.0]])
    labels = np.array([[1.0, 0.0], [1.0, 0.0], [np.nan, 1.0], [np.nan, 1.0]])
    slopes, intercepts = fit_platt(logits, labels)
    assert (slopes[0], intercepts[0]) == (1, 0)
    assert slopes[1] > 0
