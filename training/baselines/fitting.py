"""Fitting on precomputed features: features of the trunk, batches, masked loss."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader
from tqdm import tqdm

from training.baselines.prototypes import Trunk
from training.data.datasets import FilmDataset

_BATCH_FILMS = 32


def film_features(trunk: Trunk, films: FilmDataset) -> tuple[Tensor, Tensor]:
    """Features of radiographs, and of their mirror images mirrored back: [N, F, h, w] half precision each."""
    straight: list[Tensor] = []
    mirrored: list[Tensor] = []
    for images, _ in tqdm(DataLoader(films, batch_size=8), "features", unit="batch", leave=False):
        pixels = images.float() / 255
        straight.append(trunk(pixels).half())
        mirrored.append(trunk(pixels.flip(3)).flip(3).half())
    return torch.cat(straight), torch.cat(mirrored)


def masked_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Binary cross-entropy over known labels: [B, C], [B, C] with NaN → scalar."""
    known = ~labels.isnan()
    terms = functional.binary_cross_entropy_with_logits(logits, labels.nan_to_num(), reduction="none")
    return (terms * known).sum() / known.sum().clamp(min=1)


def descend(
    groups: list[dict[str, object]], loss: Callable[[Tensor], Tensor], films: int, epochs: int, seed: int, name: str
) -> None:
    """Minimise a loss of indices [B] with Adam and a cosine schedule over mini-batches."""
    optimizer = torch.optim.Adam(groups)
    steps = epochs * -(-films // _BATCH_FILMS)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for batch in tqdm(_batches(films, epochs, seed), name, total=steps, leave=False):
        optimizer.zero_grad()
        loss(batch).backward()
        optimizer.step()
        schedule.step()


def start_at_frequencies(head: nn.Linear, labels: Tensor, expected: Tensor) -> None:
    """Set the bias, in place, so that ``expected`` [C] evidence gives the frequencies of ``labels``."""
    frequency = labels.nanmean(dim=0).nan_to_num(0.5).clamp(0.01, 0.99)
    with torch.no_grad():
        head.bias.copy_(frequency.logit() - expected)


def _batches(films: int, epochs: int, seed: int) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        yield from torch.randperm(films, generator=generator).split(_BATCH_FILMS)
