"""Base of ProtoPNet and PIPNet: an image-level trunk, prototypes over its locations, a linear decision."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from app.patchnet.model import PatchNet
from training.saliency_methods import last_spatial_layer


class Trunk(nn.Module):
    """The features of an image-level model before global pooling; its weights are frozen."""

    def __init__(self, network: PatchNet) -> None:
        super().__init__()
        self.network = network.eval().requires_grad_(False)
        self.image_size = network.image_size
        self._layer = last_spatial_layer(network)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """[B, 1, S, S] in [0, 1] → [B, F, h, w]."""
        seen: list[Tensor] = []

        def keep(module: nn.Module, inputs: object, output: Tensor) -> None:
            del module, inputs
            seen.append(output)

        hook = self._layer.register_forward_hook(keep)
        try:
            self.network(images)
        finally:
            hook.remove()
        return seen[0]

    def train(self, mode: bool = True) -> "Trunk":
        """The trunk always stays in evaluation mode, so its batch norms do not change."""
        return super().train(False) if mode else super().train(mode)


class PrototypeNetwork(nn.Module, ABC):
    """A linear decision on prototype activations: logits = W · max over locations of activations + b."""

    def __init__(self, trunk: Trunk, prototypes: int, findings: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.image_size = trunk.image_size
        self.head = nn.Linear(prototypes, findings)

    @abstractmethod
    def activations(self, features: Tensor) -> Tensor:
        """Similarity of each location to each prototype: [B, F, h, w] → [B, M, h, w], not negative."""

    @abstractmethod
    def fit(self, features: Tensor, mirrored: Tensor, labels: Tensor, seed: int = 0) -> None:
        """Fit in place.

        ``features`` [N, F, h, w] are the trunk's, ``mirrored`` those of the mirror images, mirrored back; ``labels``
        [N, C] are NaN where unknown.
        """

    def decide(self, features: Tensor) -> Tensor:
        """[B, F, h, w] → logits [B, C]."""
        return self.head(self.activations(features).amax(dim=(2, 3)))

    def forward(self, images: Tensor) -> Tensor:
        """[B, 1, S, S] in [0, 1] → logits [B, C]."""
        return self.decide(self.trunk(images))

    @torch.inference_mode()
    def evidence(self, image: Tensor) -> Tensor:
        """Activations weighted as in the decision: [1, S, S] → [C, h, w]."""
        activations = self.activations(self.trunk(image[None]))[0]
        return torch.einsum("cm,mhw->chw", self.head.weight, activations)


def learned(network: PrototypeNetwork) -> dict[str, Tensor]:
    """The weights without the trunk's."""
    return {name: value for name, value in network.state_dict().items() if not name.startswith("trunk.")}
