"""ProtoPNet (Chen et al., "This Looks Like That", NeurIPS 2019) for several findings at once.

Differences from the original, where every image has one class: the cluster cost counts the findings of a radiograph,
the separation cost the others; a finding's prototypes are connected to that finding alone until the last step, because
findings occur together; the decision has a bias.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.baselines.fitting import descend, masked_loss, start_at_frequencies
from training.baselines.prototypes import PrototypeNetwork, Trunk

_WIDTH = 64
_EPSILON = 1e-4
_CLUSTER, _SEPARATION, _SPARSITY = 0.2, 0.02, 1e-3
_EPOCHS, _LAST_EPOCHS = 12, 20
_CHUNK = 64


class ProtoPNet(PrototypeNetwork):
    """Prototypes are points in feature space; each is finally projected onto a location of a training radiograph."""

    def __init__(self, trunk: Trunk, features: int, findings: int, per_finding: int = 10) -> None:
        super().__init__(trunk, findings * per_finding, findings)
        self.reduce = nn.Sequential(
            nn.Conv2d(features, _WIDTH, 1), nn.ReLU(), nn.Conv2d(_WIDTH, _WIDTH, 1), nn.Sigmoid()
        )
        self.prototypes = nn.Parameter(torch.rand(findings * per_finding, _WIDTH))
        self.register_buffer("own", torch.eye(findings).repeat_interleave(per_finding, dim=1))  # [C, M]
        self.own: Tensor
        with torch.no_grad():
            self.head.weight.copy_(self.own / per_finding)

    def distances(self, features: Tensor) -> Tensor:
        """Squared distances of all locations to all prototypes: [B, F, h, w] → [B, M, h, w]."""
        points = self.reduce(features)  # [B, D, h, w]
        cross = torch.einsum("bdhw,md->bmhw", points, self.prototypes)
        squares = points.square().sum(dim=1, keepdim=True) + self.prototypes.square().sum(dim=1)[:, None, None]
        return (squares - 2 * cross).clamp(min=0)

    def activations(self, features: Tensor) -> Tensor:
        """See ``PrototypeNetwork``: log((d + 1) / (d + ε)), the paper's similarity."""
        return _similarity(self.distances(features))

    def fit(self, features: Tensor, mirrored: Tensor, labels: Tensor, seed: int = 0) -> None:
        """See ``PrototypeNetwork``: prototypes, their projection onto training radiographs, then the decision alone."""
        with torch.no_grad():
            pooled = torch.cat([_pooled(self, part) for part in features.split(_CHUNK)])
        start_at_frequencies(self.head, labels, self.head(pooled).mean(dim=0) - self.head.bias)
        chance = torch.Generator().manual_seed(seed)

        def loss(batch: Tensor) -> Tensor:
            views = mirrored if torch.rand((), generator=chance) < 0.5 else features
            nearest = self.distances(views[batch].float()).amin(dim=(2, 3))  # [B, M]
            truth = labels[batch]
            logits = functional.linear(_similarity(nearest), self.head.weight * self.own, self.head.bias)
            by_finding = nearest.reshape(len(batch), labels.shape[1], -1).amin(dim=2)  # [B, C]
            cluster = by_finding[truth == 1].sum() / max(1, int((truth == 1).sum()))
            separation = by_finding[truth == 0].sum() / max(1, int((truth == 0).sum()))
            return masked_loss(logits, truth) + _CLUSTER * cluster - _SEPARATION * separation

        groups: list[dict[str, object]] = [
            {"params": list(self.reduce.parameters()), "lr": 1e-3, "weight_decay": 1e-4},
            {"params": [self.prototypes], "lr": 3e-3},
            {"params": list(self.head.parameters()), "lr": 1e-3},
        ]
        descend(groups, loss, len(features), _EPOCHS, seed, "ProtoPNet")
        self.project(features, labels)
        with torch.no_grad():
            self.head.weight.mul_(self.own)
            pooled = torch.cat([_pooled(self, part) for part in features.split(_CHUNK)])

        def last(batch: Tensor) -> Tensor:
            sparsity = (self.head.weight * (1 - self.own)).abs().sum()
            return masked_loss(self.head(pooled[batch]), labels[batch]) + _SPARSITY * sparsity

        descend([{"params": list(self.head.parameters()), "lr": 3e-3}], last, len(features), _LAST_EPOCHS, seed, "head")

    @torch.no_grad()
    def project(self, features: Tensor, labels: Tensor) -> None:
        """Project each prototype onto the nearest location of a radiograph with its finding; without one, keep it."""
        least = torch.full((len(self.prototypes),), float("inf"))
        nearest = self.prototypes.detach().clone()
        finding = self.own.argmax(dim=0)  # [M]
        for films, truth in zip(features.split(_CHUNK), labels.split(_CHUNK), strict=True):
            points = self.reduce(films.float()).flatten(2)  # [B, D, hw]
            distances = self.distances(films.float()).flatten(2)  # [B, M, hw]
            distances[(truth != 1)[:, finding]] = float("inf")
            closest, place = distances.min(dim=2)  # [B, M]
            smallest, film = closest.min(dim=0)  # [M]
            for prototype in (smallest < least).nonzero().flatten().tolist():
                nearest[prototype] = points[film[prototype], :, place[film[prototype], prototype]]
                least[prototype] = smallest[prototype]
        self.prototypes.copy_(nearest)


def _similarity(distances: Tensor) -> Tensor:
    return torch.log((distances + 1) / (distances + _EPSILON))


def _pooled(network: ProtoPNet, features: Tensor) -> Tensor:
    return network.activations(features.float()).amax(dim=(2, 3))
