"""The models of a comparison, with their thresholds and randomized counterparts."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit

from app.patchnet import backbones
from app.patchnet.artifact import Artifact
from app.patchnet.findings import FINDING_NAMES
from app.patchnet.model import PatchNet
from training.baselines import fitted as baselines
from training.baselines.prototypes import PrototypeNetwork
from training.compare.compiled import compiled
from training.data.datasets import FilmDataset, Films
from training.measure.evaluation import tune_thresholds
from training.measure.inference import predict_logits

Array = NDArray[np.float64]
Network = PatchNet | PrototypeNetwork

_BATCH_IMAGES = 8
_SEED = 0


@dataclass(frozen=True)
class Subject:
    """A model [B, 1, S, S] → [B, 14] logits, with its thresholds by finding, in probabilities.

    ``key`` identifies its weights in file names; ``randomized`` builds the same architecture with random weights.
    """

    network: Network
    thresholds: dict[str, float]
    key: str
    randomized: Callable[[], Network]

    @cached_property
    def passes(self) -> Network:
        """The model for forward passes without gradients; patch models are compiled."""
        return compiled(self.network) if isinstance(self.network, PatchNet) else self.network

    def logits(self, films: Films) -> Array:
        """Global logits of all radiographs: [N, 14]."""
        return predict_logits(self.passes, FilmDataset(films, self.network.image_size), _BATCH_IMAGES, "cpu")

    def decided(self, logits: Array) -> NDArray[np.bool_]:
        """Positive findings: logits [N, 14] → [N, 14] bool; a finding without a threshold has 0.5."""
        limits = np.array([self.thresholds.get(name, 0.5) for name in FINDING_NAMES])
        return expit(logits) >= limits


def shipped(artifact: Artifact) -> Subject:
    """A published artifact."""
    return Subject(
        artifact.network,
        artifact.manifest.thresholds,
        artifact.manifest.weights_sha256[:12],
        lambda: _random_network(artifact),
    )


def prototype_networks(image: Artifact, train: Path, valid: Films, work: Path) -> dict[str, Subject]:
    """ProtoPNet and PIPNet on the trunk of the image-level model, with thresholds tuned on validation radiographs."""
    found: dict[str, Subject] = {}
    for name, network in baselines.fitted(image, train, work).items():
        logits = predict_logits(network, FilmDataset(valid, network.image_size), _BATCH_IMAGES, "cpu")
        thresholds = tune_thresholds(logits, valid.labels.double().numpy(), list(FINDING_NAMES))

        def randomized(name: str = name) -> Network:
            return baselines.randomized(name, image)

        found[name] = Subject(network, thresholds, baselines.key(image, train), randomized)
    return found


def _random_network(artifact: Artifact) -> PatchNet:
    torch.manual_seed(_SEED)
    manifest = artifact.manifest
    backbone = backbones.build(manifest.backbone, len(FINDING_NAMES))
    return PatchNet(backbone, manifest.image_size, manifest.patch_size).eval()
