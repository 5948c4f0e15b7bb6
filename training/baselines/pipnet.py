"""PIPNet (Nauta et al., "PIP-Net: Patch-Based Intuitive Prototypes", CVPR 2023) for several findings at once.

Differences from the original: the two views of a radiograph are its features and those of its mirror image; a sigmoid
for each finding replaces the softmax, with a bias, because non-negative weights alone cannot give a negative decision.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.baselines.fitting import descend, masked_loss, start_at_frequencies
from training.baselines.prototypes import PrototypeNetwork, Trunk

_ALIGN, _TANH = 1.0, 1.0
_WARM_EPOCHS, _EPOCHS = 3, 15
_EPSILON = 1e-7


class PIPNet(PrototypeNetwork):
    """A softmax over prototypes at every location; a finding needs enough of its prototypes at any location."""

    def __init__(self, trunk: Trunk, features: int, findings: int, prototypes: int = 256) -> None:
        super().__init__(trunk, prototypes, findings)
        self.share = nn.Conv2d(features, prototypes, 1)
        with torch.no_grad():
            self.head.weight.copy_(torch.rand(findings, prototypes) * 0.1)

    def activations(self, features: Tensor) -> Tensor:
        """See ``PrototypeNetwork``; the activations of a location add up to 1."""
        return self.share(features).softmax(dim=1)

    def fit(self, features: Tensor, mirrored: Tensor, labels: Tensor, seed: int = 0) -> None:
        """See ``PrototypeNetwork``: first prototypes that agree on both views, then the decision with them."""

        def views(batch: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            one, other = self.activations(features[batch].float()), self.activations(mirrored[batch].float())
            alike = -((one * other).sum(dim=1) + _EPSILON).log().mean()
            pooled = one.amax(dim=(2, 3)), other.amax(dim=(2, 3))
            used = -sum((part.sum(dim=0).tanh() + _EPSILON).log().mean() for part in pooled) / 2
            return _ALIGN * alike + _TANH * used, *pooled

        def decided(batch: Tensor) -> Tensor:
            cost, *pooled = views(batch)
            with torch.no_grad():
                self.head.weight.clamp_(min=0)
            both = torch.cat([self._logits(part) for part in pooled])
            return 0.1 * cost + masked_loss(both, labels[batch].repeat(2, 1))

        sharing: dict[str, object] = {"params": list(self.share.parameters()), "lr": 1e-3}
        descend([sharing], lambda batch: views(batch)[0], len(features), _WARM_EPOCHS, seed, "PIPNet, prototypes")
        with torch.no_grad():
            first = self.activations(features[:256].float()).amax(dim=(2, 3))
            start_at_frequencies(self.head, labels, functional.linear(first, self.head.weight).mean(dim=0))
        heads: dict[str, object] = {"params": list(self.head.parameters()), "lr": 2e-2}
        descend([sharing, heads], decided, len(features), _EPOCHS, seed, "PIPNet")
        with torch.no_grad():
            self.head.weight.clamp_(min=0)

    def _logits(self, pooled: Tensor) -> Tensor:
        return functional.linear(pooled, self.head.weight.clamp(min=0), self.head.bias)
