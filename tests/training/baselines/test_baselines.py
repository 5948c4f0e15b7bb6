"""Networks of prototypes: what their parts mean, that they learn, that they are kept."""

import pytest
import torch

from app.patchnet.model import PatchNet
from training.baselines.pipnet import PIPNet
from training.baselines.protopnet import ProtoPNet
from training.baselines.prototypes import Trunk

FINDINGS = 3


class TinyBackbone(torch.nn.Module):
    """Features [7, 8, 8] of an image of 32 px, then their mean and a linear layer."""

    def __init__(self):
        super().__init__()
        self.features = torch.nn.Conv2d(1, 7, 4, stride=4)
        self.classifier = torch.nn.Linear(7, FINDINGS)

    def forward(self, images):
        return self.classifier(self.features(images).mean(dim=(2, 3)))


@pytest.fixture
def trunk():
    torch.manual_seed(1)
    return Trunk(PatchNet(TinyBackbone(), image_size=32, patch_size=32))


def made_films(count=160):
    """Features of films: finding 0 is a strong channel 0 at one place, finding 1 a strong channel 1; 2 is unknown."""
    generator = torch.Generator().manual_seed(3)
    features = torch.rand(count, 7, 8, 8, generator=generator) * 0.5
    labels = torch.full((count, FINDINGS), float("nan"))
    labels[:, :2] = torch.randint(0, 2, (count, 2), generator=generator)
    places = torch.randint(0, 8, (count, 2, 2), generator=generator)
    for film in range(count):
        for finding in range(2):
            if labels[film, finding] == 1:
                features[film, finding, places[film, finding, 0], places[film, finding, 1]] = 4
    return features, labels, places


@pytest.mark.parametrize("make", [ProtoPNet, PIPNet])
def test_prototypes_learn_several_findings_and_show_where_they_are(trunk, make):
    torch.manual_seed(0)
    network = make(trunk, 7, FINDINGS)
    features, labels, places = made_films()
    network.fit(features.half(), features.half(), labels)
    with torch.no_grad():
        logits = network.decide(features)
        maps = torch.einsum("cm,nmhw->nchw", network.head.weight, network.activations(features))
    assert torch.isfinite(logits).all()
    for finding in range(2):
        sick = labels[:, finding] == 1
        right = (logits[sick, finding][:, None] > logits[~sick, finding]).double().mean()
        assert right > 0.9
        highest = maps[sick, finding].flatten(1).argmax(dim=1)
        row, column = places[sick, finding].unbind(dim=1)
        assert (highest == row * 8 + column).double().mean() > 0.9


def test_every_prototype_of_a_seen_finding_becomes_a_place_of_a_film_that_has_it(trunk):
    torch.manual_seed(0)
    network = ProtoPNet(trunk, 7, FINDINGS, per_finding=2)
    features, labels, _ = made_films(40)
    unseen = network.prototypes[4:].detach().clone()
    network.project(features, labels)
    with torch.no_grad():
        distances = network.distances(features).flatten(2).amin(dim=2)  # [N, M]
    for prototype in range(4):
        sick = labels[:, prototype // 2] == 1
        assert distances[sick, prototype].min() < 1e-6
    assert torch.equal(network.prototypes[4:], unseen)


def test_the_places_of_a_pipnet_are_shared_out_and_its_weights_are_not_negative(trunk):
    network = PIPNet(trunk, 7, FINDINGS, prototypes=5)
    features, labels, _ = made_films(64)
    network.fit(features, features, labels)
    with torch.no_grad():
        assert torch.allclose(network.activations(features).sum(dim=1), torch.ones(64, 8, 8))
    assert network.head.weight.min() >= 0


def test_evidence_is_weighed_as_the_decision_weighs_it(trunk):
    """One prototype, present at one place only: the map's maximum and the bias are the logit."""
    network = PIPNet(trunk, 7, FINDINGS, prototypes=1)
    image = torch.rand(1, 32, 32)
    with torch.no_grad():
        logits = network(image[None])[0]
    maps = network.evidence(image)
    assert maps.shape == (FINDINGS, 8, 8)
    assert torch.allclose(maps.amax(dim=(1, 2)) + network.head.bias, logits)


def test_the_trunk_is_never_trained(trunk):
    network = ProtoPNet(trunk, 7, FINDINGS).train()
    assert not trunk.training
    assert not trunk.network.training
    assert not any(parameter.requires_grad for parameter in network.trunk.parameters())
