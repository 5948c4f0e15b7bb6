"""One optimiser step: random patches of a batch, the loss over known labels, gradients of all processes."""

from collections.abc import Generator as Context
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from app.patchnet.model import PatchNet, split_patches
from training.data.augmentation import augment, choose_patches
from training.fit.distributed import World
from training.fit.state import State
from training.recipe import Recipe

_MARGIN, _FOCUS = 0.05, 4  # the values of the paper on this loss


@dataclass(frozen=True)
class Batch:
    """This process's share of a batch: ``images`` [B, 1, S, S] uint8 and ``labels`` [B, C], NaN where unknown.

    ``sharp`` [B] bool are the images that can be blurred; ``whole`` counts the images of the batch over all processes,
    ``known`` its known labels.
    """

    images: Tensor
    labels: Tensor
    sharp: Tensor
    whole: int
    known: int


@dataclass(frozen=True)
class Figures:
    """What a step reports: the mean loss of a known label, and the L2 norm of the gradient."""

    loss: float
    gradient_norm: float


class Stepper:
    """Runs the optimiser steps of one state in one process."""

    def __init__(self, state: State, recipe: Recipe, world: World) -> None:
        self._state, self._recipe, self._world = state, recipe, world
        backbone: nn.Module = state.network.backbone
        self._backbone = DistributedDataParallel(backbone) if world.size > 1 else backbone
        self._forward = torch.compile(self._backbone) if recipe.compile else self._backbone
        self._micro = recipe.micro_batch_images or recipe.batch_images
        self._mixed = recipe.mixed_precision and world.device != "cpu"

    def run(self, batch: Batch, generator: Generator) -> Figures:
        """One step in place, with the random changes that ``generator`` draws."""
        state, recipe, world = self._state, self._recipe, self._world
        images = batch.images.to(world.device).float() / 255
        changed = augment(images, recipe.augmentation, generator, batch.whole, world.share, batch.sharp)
        patches = split_patches(changed, recipe.patch_size).unflatten(0, (len(images), -1))  # [B, P², 1, p, p]
        patches = choose_patches(patches, recipe.patch_share, generator, batch.whole, world.share)  # [B, K, 1, p, p]
        truth = batch.labels.to(world.device)

        state.optimizer.zero_grad(set_to_none=True)
        loss, parts = 0.0, list(zip(patches.split(self._micro), truth.split(self._micro), strict=True))
        for place, (part, part_truth) in enumerate(parts):
            with joint_gradients(self._backbone, last=place == len(parts) - 1):
                share = self._loss(part, part_truth) / max(batch.known, 1)
                (share * world.size).backward()  # gradients are averaged over processes, the loss is a sum
            loss += float(share.detach())
        gradients = [parameter.grad for parameter in state.network.parameters() if parameter.grad is not None]
        norm = float(nn.utils.get_total_norm(gradients))
        state.optimizer.step()
        state.schedule.step()
        state.step += 1
        state.average.update_parameters(state.network)
        return Figures(world.total(loss), norm)

    def _loss(self, patches: Tensor, truth: Tensor) -> Tensor:
        with torch.autocast("cuda", torch.bfloat16, enabled=self._mixed):
            patch_logits = self._forward(stack(patches, self._recipe)).unflatten(0, (len(patches), -1))  # [b, K, C]
        loss = asymmetric_loss if self._recipe.loss == "asymmetric" else masked_loss
        return loss(patch_logits.float().mean(dim=1), truth)


def stack(patches: Tensor, recipe: Recipe) -> Tensor:
    """Patches as the backbone reads them: [b, K, 1, p, p] → [b·K, 1, p, p]."""
    stacked = patches.flatten(0, 1)
    return stacked.contiguous(memory_format=torch.channels_last) if recipe.channels_last else stacked


def masked_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Binary cross-entropy on global logits, summed over the known labels: [B, C], [B, C] → scalar."""
    terms = functional.binary_cross_entropy_with_logits(logits, labels.nan_to_num(), reduction="none")
    return terms[~labels.isnan()].sum()


def asymmetric_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Asymmetric loss on global logits, summed over the known labels: [B, C], [B, C] → scalar.

    The probability p of a negative is shifted to max(p - 0.05, 0), and its term is weighted by its fourth power.
    Positives have the usual cross-entropy; a label between 0 and 1 is a mixture of both. Source: Ridnik et al.,
    "Asymmetric Loss for Multi-Label Classification", ICCV 2021.
    """
    known = ~labels.isnan()
    truth, positive = labels[known], logits[known].sigmoid()
    shifted = (positive - _MARGIN).clamp(min=0)
    for_positives = truth * functional.logsigmoid(logits[known])
    for_negatives = (1 - truth) * shifted**_FOCUS * (1 - shifted).log()
    return -(for_positives + for_negatives).sum()


def freeze_norms(network: PatchNet) -> None:
    """Put all batch norms into evaluation mode: they use their running statistics and do not update them."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


@contextmanager
def joint_gradients(backbone: nn.Module, *, last: bool) -> Context[None]:
    """Exchange gradients between processes only after the last part of a batch."""
    if isinstance(backbone, DistributedDataParallel) and not last:
        with backbone.no_sync():
            yield
    else:
        yield
