"""What a network goes by, measured on networks that are known to go by one thing."""

import numpy as np
import pytest
import torch
from torch import nn

from app.patchnet.model import PatchNet
from training.compare.faithfulness import STEPS, correlation, curves, stability
from training.saliency_methods import PatchEvidence


class Brightness(nn.Module):
    """A backbone whose logits are the mean brightness of the patch."""

    def forward(self, patches):
        return patches.mean(dim=(1, 2, 3))[:, None].expand(-1, 14)


@pytest.fixture
def network():
    return PatchNet(Brightness(), image_size=256, patch_size=64)


@pytest.fixture
def image():
    return torch.rand(1, 256, 256, generator=torch.Generator().manual_seed(5)) ** 3


def test_true_evidence_gains_more_than_its_opposite(network, image):
    truth = PatchEvidence(network, offsets=(32,), strides=()).maps(image, [3])["patch grid"][0]
    right, wrong = curves(network, image, truth, 3), curves(network, image, -truth, 3)
    assert right.gain > 0 > wrong.gain
    assert right.gain == pytest.approx(-wrong.gain, abs=1e-6)
    assert right.sufficiency > wrong.sufficiency
    assert right.necessity > wrong.necessity


def test_curves_run_from_the_whole_film_to_nothing(network, image):
    found = curves(network, image, np.zeros((4, 4), dtype=np.float32), 0)
    assert len(found.deletion) == len(found.insertion) == STEPS + 1
    assert found.deletion[0] == found.insertion[-1] == pytest.approx(image.mean().item(), abs=1e-6)
    assert found.deletion[-1] == found.insertion[0] == 0.0


def test_stability_is_one_only_for_maps_that_follow_the_film(network, image):
    class Stuck:
        names = ("stuck",)

        def maps(self, image, findings):
            place = np.random.default_rng(0).random((len(findings), 256, 256))
            return {"stuck": place.astype(np.float32)}

    assert (
        stability(PatchEvidence(network, offsets=(1,), strides=()), image[:, :256, :256], 0)["patch, offset 1"] > 0.98
    )
    assert abs(stability(Stuck(), image, 0)["stuck"]) < 0.1


def test_a_constant_map_correlates_with_nothing():
    assert correlation(np.ones((3, 5), dtype=np.float32), np.arange(15, dtype=np.float32).reshape(3, 5)) == 0.0
