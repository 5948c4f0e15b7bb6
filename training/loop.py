"""The training loop, top to bottom. Random draws come from (seed, epoch, step): a resumed run is the same run."""

import os
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from app.patchnet.backbones import head_of
from app.patchnet.findings import FINDING_NAMES
from app.patchnet.network import PatchNet, split_patches
from training.augmentation import augment, choose_patches
from training.config import Recipe
from training.datasets import FilmDataset
from training.metrics import ELEVEN, auroc


@dataclass
class State:
    """What a run is made of. ``average`` is the exponential average of the weights, which is what is evaluated."""

    network: PatchNet
    average: PatchNet
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    step: int = 0
    best: float = 0.0


def start(network: PatchNet, recipe: Recipe, steps: int) -> State:
    """The state before the first of ``steps`` steps: AdamW with two learning rates, OneCycle."""
    for name in recipe.freeze:
        network.backbone.get_submodule(name).requires_grad_(False)
    head = list(head_of(recipe.backbone, network.backbone).parameters())
    ids = {id(parameter) for parameter in head}
    body = [parameter for parameter in network.parameters() if parameter.requires_grad and id(parameter) not in ids]
    rates = [recipe.peak_rate, recipe.peak_rate * recipe.head_rate_factor]
    optimizer = torch.optim.AdamW(
        [{"params": body}, {"params": head}], lr=recipe.peak_rate, weight_decay=recipe.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, rates, total_steps=max(steps, 1), pct_start=recipe.warmup_share
    )
    return State(network, deepcopy(network).requires_grad_(False), optimizer, schedule)


def train(
    state: State,
    recipe: Recipe,
    data: list[FilmDataset],
    valid: FilmDataset,
    folder: Path,
    device: str,
) -> None:
    """Run to the end of the recipe from where ``state`` is; ``folder`` gets checkpoints, logs and the best weights."""
    writer = SummaryWriter(str(folder / "logs"))
    network = state.network.to(device).train()
    if recipe.freeze_norms:
        freeze_norms(network)
    state.average.to(device)
    forward = torch.compile(network.backbone) if recipe.compile else network.backbone
    per_epoch, micro = steps_per_epoch(recipe, data), recipe.micro_batch_images or recipe.batch_images
    begin, first_step = monotonic(), state.step
    if not state.step:
        tqdm.write(
            f"before training: valid mean AUROC {mean_auroc(state.average, valid, recipe.batch_images, device):.4f}"
        )

    for epoch in range(state.step // per_epoch, recipe.epochs):
        batches = list(epoch_batches(recipe, data, epoch))  # [(data set, index)] for every step
        bar = tqdm(
            total=per_epoch, initial=state.step % per_epoch, desc=f"epoch {epoch + 1}/{recipe.epochs}", unit="step"
        )
        for batch in batches[state.step % per_epoch :]:
            generator = Generator().manual_seed(hash((recipe.seed, epoch, state.step)) % 2**63)
            films = [data[which][index] for which, index in batch]
            images = torch.stack([image for image, _ in films]).to(device).float() / 255  # [B, 1, S, S]
            labels = torch.stack([label for _, label in films]).to(device)  # [B, C], NaN = unknown

            images = augment(images, recipe.augmentation, generator)
            patches = split_patches(images, recipe.patch_size).unflatten(0, (len(films), -1))  # [B, P², 1, p, p]
            patches = choose_patches(patches, recipe.patch_share, generator)  # [B, K, 1, p, p]

            state.optimizer.zero_grad(set_to_none=True)
            loss = 0.0
            known = (~labels.isnan()).sum().clamp(min=1)
            for part, truth in zip(patches.split(micro), labels.split(micro), strict=True):
                stacked = part.flatten(0, 1)  # [b·K, 1, p, p]
                if recipe.channels_last:
                    stacked = stacked.contiguous(memory_format=torch.channels_last)
                with torch.autocast(device, torch.bfloat16, enabled=recipe.mixed_precision and device == "cuda"):
                    patch_logits = forward(stacked).unflatten(0, (len(part), -1))  # [b, K, C]
                share = masked_loss(patch_logits.float().mean(dim=1), truth) / known
                share.backward()
                loss += float(share.detach())
            state.optimizer.step()
            state.schedule.step()
            state.step += 1
            average_weights(state, recipe.average_decay)
            writer.add_scalar("loss/train", loss, state.step)
            bar.update()
            bar.set_postfix(loss=f"{loss:.3f}")
        bar.close()

        score = mean_auroc(state.average, valid, recipe.batch_images, device)
        images_a_second = (state.step - first_step) * recipe.batch_images / (monotonic() - begin)
        writer.add_scalar("auroc/valid", score, state.step)
        tqdm.write(f"epoch {epoch + 1}: valid mean AUROC {score:.4f}, {images_a_second:.1f} images/s")
        if score > state.best:
            state.best = score
            torch.save(state.average.backbone.state_dict(), folder / "best.pt")
        save_checkpoint(state, folder / "last.pt")
    writer.close()


def steps_per_epoch(recipe: Recipe, data: list[FilmDataset]) -> int:
    """Steps of one epoch; the last films that do not fill a batch wait for another epoch."""
    return max(1, sum(counts(recipe, data)) // recipe.batch_images)


def counts(recipe: Recipe, data: list[FilmDataset]) -> list[int]:
    """How many films of each data set an epoch draws."""
    shares = recipe.data.weights or [1.0] * len(data)
    return [round(share * len(films)) for share, films in zip(shares, data, strict=True)]


def epoch_batches(recipe: Recipe, data: list[FilmDataset], epoch: int) -> Iterator[list[tuple[int, int]]]:
    """The films of every step of one epoch, as (data set, index), in an order that (seed, epoch) decides."""
    generator = np.random.default_rng((recipe.seed, epoch))
    drawn = [
        (which, int(index))
        for which, count in enumerate(counts(recipe, data))
        for index in generator.permutation(len(data[which]))[:count]
    ]
    order = generator.permutation(len(drawn))
    for step in range(steps_per_epoch(recipe, data)):
        yield [drawn[place] for place in order[step * recipe.batch_images : (step + 1) * recipe.batch_images]]


def freeze_norms(network: nn.Module) -> None:
    """Have batch norms use, and keep, the statistics they have."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


def masked_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Binary cross-entropy on global logits, summed over the known labels: [B, C], [B, C] → scalar."""
    terms = functional.binary_cross_entropy_with_logits(logits, labels.nan_to_num(), reduction="none")
    return terms[~labels.isnan()].sum()


@torch.no_grad()
def average_weights(state: State, decay: float) -> None:
    """Move the average towards the weights, faster in the first steps; buffers likewise."""
    now = min(decay, (1 + state.step) / (10 + state.step))
    for mean, value in zip(state.average.state_dict().values(), state.network.state_dict().values(), strict=True):
        if mean.is_floating_point():
            mean.lerp_(value, 1 - now)
        else:
            mean.copy_(value)


@torch.inference_mode()
def predict_logits(network: PatchNet, data: FilmDataset, batch_images: int, device: str) -> np.ndarray[Any, Any]:
    """Global logits of every film: [N, C] float64."""
    network.eval()
    parts = [network(images.to(device).float() / 255).double().cpu() for images, _ in DataLoader(data, batch_images)]
    return torch.cat(parts).numpy()


def mean_auroc(network: PatchNet, data: FilmDataset, batch_images: int, device: str) -> float:
    """Mean AUROC over the findings with labels of their own that have both classes among the films."""
    logits, labels = predict_logits(network, data, batch_images, device), data.films.labels.double().numpy()
    columns = [FINDING_NAMES.index(name) for name in ELEVEN]
    return float(np.nanmean([auroc(logits[:, column], labels[:, column]) for column in columns]))


def save_checkpoint(state: State, path: Path) -> None:
    """Everything a run needs to go on, written whole or not at all."""
    content = {
        "network": state.network.state_dict(),
        "average": state.average.state_dict(),
        "optimizer": state.optimizer.state_dict(),
        "schedule": state.schedule.state_dict(),
        "step": state.step,
        "best": state.best,
    }
    fresh = path.with_suffix(".new")
    torch.save(content, fresh)
    os.replace(fresh, path)


def resume(state: State, path: Path) -> None:
    """Put a saved state back, in place."""
    content = torch.load(path, map_location="cpu", weights_only=True)
    for name in ("network", "average", "optimizer", "schedule"):
        getattr(state, name).load_state_dict(content[name])
    state.step, state.best = content["step"], content["best"]
