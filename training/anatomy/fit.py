"""Training of the segmenter on one device."""

from copy import deepcopy
from pathlib import Path

import torch
from torch import Tensor
from torch.optim import AdamW
from torch.optim.lr_scheduler import OneCycleLR
from tqdm import tqdm

from app.anatomy.segmenter import Segmenter, class_map
from training.anatomy.augmentation import change
from training.anatomy.data import Drawn, read_drawn
from training.anatomy.recipe import AnatomyRecipe, Stage
from training.fit.state import exponential_average


def fit(recipe: AnatomyRecipe, root: Path, device: str, *, pretrained: bool = True) -> Segmenter:
    """Train by a recipe; returns the segmenter with averaged weights, in evaluation mode on the CPU.

    ``root`` is the folder that the recipe's CSV files are relative to. Raises ConfigurationError.
    """
    torch.manual_seed(recipe.seed)
    data = read_drawn(root / recipe.train)
    segmenter = Segmenter(pretrained=pretrained)
    generator = torch.Generator().manual_seed(recipe.seed)
    for stage in recipe.stages:
        segmenter = run_stage(segmenter, stage, recipe, data, generator, device)
    return segmenter


def run_stage(
    start: Segmenter, stage: Stage, recipe: AnatomyRecipe, data: Drawn, generator: torch.Generator, device: str
) -> Segmenter:
    """One stage from the weights of ``start``; returns a segmenter as ``fit`` does."""
    segmenter = deepcopy(start).train().to(device)
    segmenter = segmenter.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue] - missing overload
    average = exponential_average(segmenter, recipe.average_decay)
    steps = max(1, len(data) // recipe.batch_images)
    optimizer = AdamW(segmenter.parameters(), lr=stage.peak_rate, weight_decay=recipe.weight_decay)
    schedule = OneCycleLR(optimizer, stage.peak_rate, total_steps=stage.epochs * steps, pct_start=recipe.warmup_share)
    progress = tqdm(range(stage.epochs), f"training at {stage.image_size} px", unit="epoch")
    for _ in progress:
        order = torch.randperm(len(data), generator=generator)
        losses: list[float] = []
        for step in range(steps):
            rows = order[step * recipe.batch_images : (step + 1) * recipe.batch_images]
            images, masks = change(data.images[rows], data.classes[rows], stage.image_size, recipe.changes, generator)
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
