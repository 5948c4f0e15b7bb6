"""A model's answers on a data set."""

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from app.patchnet.model import PatchNet
from training.data.datasets import FilmDataset
from training.measure import subgroups


@torch.inference_mode()
def predict_logits(network: nn.Module, data: FilmDataset, batch_images: int, device: str) -> np.ndarray[Any, Any]:
    """Global logits of every film: [N, C] float64."""
    network.eval()
    parts = [network(images.to(device).float() / 255).double().cpu() for images, _ in DataLoader(data, batch_images)]
    return torch.cat(parts).numpy()


def mean_auroc(network: PatchNet, data: FilmDataset, batch_images: int, device: str) -> float:
    """Mean AUROC over the classes that networks are judged by, as far as the films have both kinds."""
    logits, labels = predict_logits(network, data, batch_images, device), data.films.labels.double().numpy()
    return subgroups.mean_auroc(logits, labels, columns=[data.films.classes.index(name) for name in data.films.judged])[
        0
    ]
