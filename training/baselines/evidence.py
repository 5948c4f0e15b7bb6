"""The prototypes' evidence as a saliency method of the comparison."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from training.baselines.prototypes import PrototypeNetwork
from training.saliency_methods import Maps


@dataclass(frozen=True)
class PrototypeEvidence:
    """Prototype activations of a finding, weighted as in the decision."""

    network: PrototypeNetwork
    name: str

    @property
    def names(self) -> tuple[str, ...]:
        """One method, with the name of the model."""
        return (self.name,)

    def maps(self, image: Tensor, findings: Sequence[int]) -> dict[str, Maps]:
        """See ``training.saliency_methods.Explainer``; in logits, [F, h, w]."""
        return {self.name: self.network.evidence(image)[list(findings)].float().numpy()}
