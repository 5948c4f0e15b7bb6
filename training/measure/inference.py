"""Predictions of a model on a data set."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from app.patchnet.model import PatchNet
from training.data.datasets import FilmDataset, Films
from training.measure.subgroups import mean_auroc as mean_auroc_of

Logits = np.ndarray[Any, Any]


@torch.inference_mode()
def predict_logits(network: nn.Module, data: Dataset[tuple[Tensor, Tensor]], batch_images: int, device: str) -> Logits:
    """Global logits of every radiograph: [N, C] float64."""
    network.eval()
    parts = [network(images.to(device).float() / 255).double().cpu() for images, _ in DataLoader(data, batch_images)]
    return torch.cat(parts).numpy()


def mean_auroc(network: PatchNet, data: FilmDataset, batch_images: int, device: str) -> float:
    """Mean AUROC of a model over the judged classes."""
    return judged_auroc(predict_logits(network, data, batch_images, device), data.films)


def judged_auroc(logits: Logits, films: Films) -> float:
    """Mean AUROC of logits [N, C] over those judged classes that have radiographs of both kinds; NaN without any."""
    columns = [films.classes.index(name) for name in films.judged]
    return mean_auroc_of(logits, films.labels.double().numpy(), columns=columns)[0]
