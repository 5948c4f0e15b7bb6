"""Distillation: labels moved towards the probabilities of teachers, because a single label is noisy."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from scipy.special import expit

from app.patchnet.findings import finding_indices
from app.patchnet.model import PatchNet
from training.data.datasets import FilmDataset, Films
from training.measure.inference import predict_logits

_BATCH_IMAGES = 32


@dataclass(frozen=True)
class Teacher:
    """A trained model and the side of its input images, px."""

    network: PatchNet
    image_size: int


def soften(
    films: Films, teachers: Sequence[Teacher], share: float, device: str, findings_left_out: Sequence[str] = ()
) -> Films:
    """Move every known label ``share`` (0…1) of the way to the teachers' mean probability.

    The labels of ``findings_left_out`` stay unchanged, for findings that a teacher cannot see (thin lines at 128 px).
    Unknown labels stay unknown, because no teacher was measured on them. Source: Hinton et al., "Distilling the
    Knowledge in a Neural Network", 2015, with the labels as the second part of the target.
    """
    probabilities = [_probabilities(films, teacher, device) for teacher in teachers]
    mean = torch.from_numpy(np.mean(probabilities, axis=0)).to(films.labels.dtype)
    shares = torch.full((len(films.classes),), share, dtype=films.labels.dtype)
    shares[finding_indices(findings_left_out)] = 0
    return replace(films, labels=films.labels + shares * (mean - films.labels))


def _probabilities(films: Films, teacher: Teacher, device: str) -> np.ndarray[Any, Any]:
    data = FilmDataset(films, teacher.image_size)
    return expit(predict_logits(teacher.network.to(device), data, _BATCH_IMAGES, device))
