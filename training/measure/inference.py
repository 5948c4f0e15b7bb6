"""Predictions of a model on a data set."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from scipy.special import expit
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from app.patchnet.model import PatchNet
from training.data.datasets import FilmDataset, Films
from training.measure.subgroups import mean_auroc as mean_auroc_of

Logits = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Predicted:
    """A model's logits [N, 14] on the radiographs of a named set, with their labels [N, 14], NaN where unknown."""

    dataset: str
    logits: Logits
    labels: Logits

    @cached_property
    def probabilities(self) -> Logits:
        """[N, 14] in [0, 1]."""
        return expit(self.logits)


@torch.inference_mode()
def predict_logits(network: nn.Module, data: Dataset[tuple[Tensor, Tensor]], batch_images: int, device: str) -> Logits:
    """Global logits of every radiograph: [N, C] float64."""
    network.eval()
    batches = tqdm(DataLoader(data, batch_images), "predicting", unit="batch", leave=False)
    parts = [network(images.to(device).float() / 255).double().cpu() for images, _ in batches]
    return torch.cat(parts).numpy()


def mean_auroc(network: PatchNet, data: FilmDataset, batch_images: int, device: str) -> float:
    """Mean AUROC of a model over the judged classes."""
    return judged_auroc(predict_logits(network, data, batch_images, device), data.films)


def judged_auroc(logits: Logits, films: Films) -> float:
    """Mean AUROC of logits [N, C] over ``films.judged``, without classes that lack positives or negatives.

    NaN where no class is left.
    """
    columns = [films.classes.index(name) for name in films.judged]
    return mean_auroc_of(logits, films.labels.double().numpy(), columns=columns)[0]
