"""The distribution of a model's outputs on known radiographs: the reference of the drift monitoring."""

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from app.errors import ConfigurationError
from app.patchnet.manifest import Description, Reference
from app.patchnet.model import PatchNet
from app.patchnet.reference import measure_reference
from training.data.datasets import FilmDataset

_BATCH_IMAGES = 8


@torch.inference_mode()
def reference_of(network: PatchNet, films: FilmDataset, dataset: str, columns: list[int], device: str) -> Reference:
    """Measure a model's outputs for the findings ``columns``. Raises ConfigurationError without radiographs."""
    network.eval().to(device)
    logits: list[Tensor] = []
    for images, _ in DataLoader(films, _BATCH_IMAGES):
        logits += network.patch_logits(images.to(device).float() / 255).cpu()
    try:
        return measure_reference(dataset, logits, columns)
    except ValueError as error:
        raise ConfigurationError(str(error)) from None


def served_columns(description: Description) -> list[int]:
    """Columns of the findings whose values are served."""
    return [index for index, record in enumerate(description.findings) if record.status != "untrained"]
