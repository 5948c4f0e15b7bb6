"""The state of a training run, and its checkpoint: all that a later process needs to continue the same run."""

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from app.errors import ConfigurationError
from app.patchnet.backbones import head_of
from app.patchnet.model import PatchNet
from training.files import save_atomically
from training.recipe import Recipe

_PARTS = ("network", "average", "optimizer", "schedule")


@dataclass
class State:
    """A model in training with its optimiser and learning-rate schedule.

    ``average`` holds the exponential moving average of the weights, which is the model that is validated and kept.
    ``step`` counts the optimiser steps, ``best`` is the highest validation AUROC.
    """

    network: PatchNet
    average: AveragedModel
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    step: int = 0
    best: float = 0.0

    @property
    def averaged(self) -> PatchNet:
        """The model with the averaged weights."""
        return cast("PatchNet", self.average.module)


def start(network: PatchNet, recipe: Recipe, steps: int) -> State:
    """The state before the first of ``steps`` steps: AdamW with two learning rates, one-cycle schedule."""
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
    return State(network, exponential_average(network, recipe.average_decay), optimizer, schedule)


def exponential_average(network: nn.Module, decay: float) -> AveragedModel:
    """The moving average of weights and buffers, from the model's initial weights on.

    At step t the decay is min(``decay``, (1 + t) / (10 + t)), so that the average leaves the initial weights quickly.
    """

    def average(mean: Tensor, value: Tensor, step: Tensor | int) -> Tensor:
        if not mean.is_floating_point():
            return value
        return mean.lerp(value, 1 - min(decay, (1 + int(step)) / (10 + int(step))))

    averaged = AveragedModel(network, avg_fn=average, use_buffers=True).requires_grad_(False)
    averaged.n_averaged.fill_(1)  # the initial weights count: the first update averages instead of copying
    return averaged


def save_checkpoint(state: State, path: Path) -> None:
    """Write the state to ``path``; the file is complete or absent."""
    content = {name: getattr(state, name).state_dict() for name in _PARTS}
    save_atomically({**content, "step": state.step, "best": state.best}, path)


def resume(state: State, path: Path) -> None:
    """Restore a saved state, in place. Raises ConfigurationError for a checkpoint of another version or model."""
    content = torch.load(path, map_location="cpu", weights_only=True)
    try:
        for name in _PARTS:
            getattr(state, name).load_state_dict(content[name])
        state.step, state.best = content["step"], content["best"]
    except (KeyError, RuntimeError, ValueError):
        raise ConfigurationError(f"{path} is a checkpoint of another version or recipe; use an empty --work") from None
