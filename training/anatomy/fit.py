"""Training of the segmenter on one device."""

from pathlib import Path

import torch
from torch import Tensor
from torch.optim import AdamW
from torch.optim.lr_scheduler import OneCycleLR
from tqdm import tqdm

from app.anatomy.segmenter import Segmenter, class_map
from training.anatomy.augmentation import change
from training.anatomy.data import Drawn, read_drawn
from training.anatomy.recipe import AnatomyRecipe
from training.fit.state import exponential_average


def fit(recipe: AnatomyRecipe, root: Path, device: str, *, pretrained: bool = True) -> Segmenter:
    """Train by a recipe; returns the segmenter with averaged weights, in evaluation mode on the CPU.

    ``root`` is the folder that the recipe's CSV files are relative to. Raises ConfigurationError.
    """
    torch.manual_seed(recipe.seed)
    data = read_drawn(root / recipe.train)
    segmenter = Segmenter(pretrained=pretrained).to(device)
    segmenter = segmenter.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue] - missing overload
    average = exponential_average(segmenter, recipe.average_decay)
    steps = max(1, len(data) // recipe.batch_images)
    optimizer = AdamW(segmenter.parameters(), lr=recipe.peak_rate, weight_decay=recipe.weight_decay)
    schedule = OneCycleLR(optimizer, recipe.peak_rate, total_steps=recipe.epochs * steps, pct_start=recipe.warmup_share)
    generator = torch.Generator().manual_seed(recipe.seed)
    segmenter.train()
    progress = tqdm(range(recipe.epochs), "training", unit="epoch")
    for _ in progress:
        order = torch.randperm(len(data), generator=generator)
        losses: list[float] = []
        for step in range(steps):
            rows = order[step * recipe.batch_images : (step + 1) * recipe.batch_images]
            images, masks = _changed(data, rows, recipe, generator)
            loss = segmentation_loss(segmenter(images.to(device)), masks.to(device))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            average.update_parameters(segmenter)
            losses.append(float(loss.detach()))
        progress.set_postfix(loss=sum(losses) / len(losses))
    kept = Segmenter()
    kept.load_state_dict(average.module.state_dict())
    return kept.eval()


def _changed(data: Drawn, rows: Tensor, recipe: AnatomyRecipe, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    return change(data.images[rows], data.classes[rows], recipe.image_size, recipe.changes, generator)


def segmentation_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """Cross-entropy plus one minus the mean soft Dice of lungs and heart.

    ``logits`` are the segmenter's flat output, ``masks`` [B, 4, S, S] the shares of the classes.
    """
    predicted = class_map(logits, masks.shape[-1])
    entropy = -(masks * predicted.clamp(min=1e-6).log()).sum(dim=1).mean()
    both = (predicted * masks).sum(dim=(0, 2, 3))
    either = (predicted + masks).sum(dim=(0, 2, 3))
    dice = (2 * both + 1) / (either + 1)
    return entropy + 1 - dice[1:].mean()
