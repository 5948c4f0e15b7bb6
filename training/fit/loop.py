"""The training loop, top to bottom. Random draws come from (seed, epoch, step): a resumed run is the same run."""

from collections.abc import Generator as Context
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from time import monotonic

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from app.errors import ConfigurationError
from app.patchnet.backbones import head_of
from app.patchnet.model import PatchNet, split_patches
from training.data.augmentation import augment, choose_patches
from training.data.datasets import FilmDataset
from training.files import save_atomically
from training.fit.distributed import World
from training.fit.sampling import epoch_batches, loader, steps_per_epoch
from training.measure.inference import mean_auroc
from training.recipe import Recipe


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
    state: State, recipe: Recipe, data: list[FilmDataset], valid: FilmDataset, folder: Path, world: World
) -> None:
    """Run to the end of the recipe from where ``state`` is; ``folder`` gets checkpoints, logs and the best weights.

    Every process of ``world`` calls it and trains on its share of every batch; the first one writes and measures. Batch
    norms that are not frozen use the patches of their own process. Raises ConfigurationError where a batch cannot be
    shared out evenly.
    """
    if recipe.batch_images % world.size:
        raise ConfigurationError(f"{world.size} processes cannot share batches of {recipe.batch_images} images evenly")
    device = world.device
    writer = SummaryWriter(str(folder / "logs")) if world.leads else None
    network = state.network.to(device).train()
    if recipe.freeze_norms:
        freeze_norms(network)
    state.average.to(device)
    backbone = DistributedDataParallel(network.backbone) if world.size > 1 else network.backbone
    forward = torch.compile(backbone) if recipe.compile else backbone
    lower_precision = torch.autocast("cuda", torch.bfloat16, enabled=recipe.mixed_precision and device != "cpu")
    per_epoch, micro = steps_per_epoch(recipe, data), recipe.micro_batch_images or recipe.batch_images
    begin, first_step = monotonic(), state.step
    if writer is not None and not state.step:
        keep_if_best(state, recipe, valid, folder, device, writer)

    for epoch in range(state.step // per_epoch, recipe.last_epoch):
        batches = list(epoch_batches(recipe, data, epoch))[state.step % per_epoch :]  # [(data set, index)] a step
        films = loader(recipe, data, [film for batch in batches for film in batch[world.share]], world)
        bar = tqdm(
            zip(batches, films, strict=True),
            desc=f"epoch {epoch + 1}/{recipe.last_epoch}",
            initial=state.step % per_epoch,
            total=per_epoch,
            unit="step",
            disable=not world.leads,
        )
        for batch, (images, labels) in bar:
            seed = hash((recipe.seed, epoch, state.step)) % 2**63
            generator = Generator().manual_seed(seed)
            torch.manual_seed(seed + world.rank)  # dropout
            known = sum(int((~data[which].films.labels[index].isnan()).sum()) for which, index in batch)
            truth = labels.to(device)  # [B, C], NaN = unknown
            patches = changed_patches(images.to(device).float() / 255, recipe, generator, len(batch), world.share)

            state.optimizer.zero_grad(set_to_none=True)
            loss, parts = 0.0, list(zip(patches.split(micro), truth.split(micro), strict=True))
            for place, (part, part_truth) in enumerate(parts):
                with joint_gradients(backbone, last=place == len(parts) - 1):
                    with lower_precision:
                        patch_logits = forward(stack(part, recipe)).unflatten(0, (len(part), -1))  # [b, K, C]
                    share = masked_loss(patch_logits.float().mean(dim=1), part_truth) / max(known, 1)
                    (share * world.size).backward()  # gradients are averaged over processes, the loss is a sum
                loss += float(share.detach())
            state.optimizer.step()
            state.schedule.step()
            state.step += 1
            average_weights(state, recipe.average_decay)
            loss = world.total(loss)
            if writer is not None:
                writer.add_scalar("loss/train", loss, state.step)
            bar.set_postfix(loss=f"{loss:.3f}", refresh=False)

        if writer is not None:
            images_done = (state.step - first_step) * recipe.batch_images
            speed = images_done / (monotonic() - begin)
            left = (recipe.last_epoch - epoch - 1) * per_epoch * recipe.batch_images / speed / 60
            tqdm.write(f"{speed:.1f} images/s, peak memory {peak_memory(device):.1f} GiB, {left:.0f} min left")
            keep_if_best(state, recipe, valid, folder, device, writer)
            save_checkpoint(state, folder / "last.pt")
    if writer is not None:
        writer.close()


def changed_patches(images: Tensor, recipe: Recipe, generator: Generator, whole: int, share: slice) -> Tensor:
    """Augmented images cut into the patches that this step sees: [B, 1, S, S] → [B, K, 1, p, p]."""
    changed = augment(images, recipe.augmentation, generator, whole, share)
    patches = split_patches(changed, recipe.patch_size).unflatten(0, (len(images), -1))  # [B, P², 1, p, p]
    return choose_patches(patches, recipe.patch_share, generator, whole, share)


def stack(patches: Tensor, recipe: Recipe) -> Tensor:
    """Patches as the backbone reads them: [b, K, 1, p, p] → [b·K, 1, p, p]."""
    stacked = patches.flatten(0, 1)
    return stacked.contiguous(memory_format=torch.channels_last) if recipe.channels_last else stacked


def keep_if_best(
    state: State, recipe: Recipe, valid: FilmDataset, folder: Path, device: str, writer: SummaryWriter
) -> None:
    """Measure the averaged weights on validation films and keep them where they are the best so far.

    Raises ConfigurationError where no finding has films of both classes: nothing can be chosen by such films.
    """
    score = mean_auroc(state.average, valid, recipe.batch_images, device)
    if np.isnan(score):
        raise ConfigurationError("no finding has validation films of both classes")
    writer.add_scalar("auroc/valid", score, state.step)
    tqdm.write(f"step {state.step}: valid mean AUROC {score:.4f}")
    if score > state.best:
        state.best = score
        save_atomically(state.average.backbone.state_dict(), folder / "best.pt")


@contextmanager
def joint_gradients(backbone: nn.Module, *, last: bool) -> Context[None]:
    """Exchange gradients between processes only after the last part of a batch."""
    if isinstance(backbone, DistributedDataParallel) and not last:
        with backbone.no_sync():
            yield
    else:
        yield


def peak_memory(device: str) -> float:
    """The most memory this process has held so far, GiB: of the GPU, or of the machine."""
    if device == "cpu":
        return getrusage(RUSAGE_SELF).ru_maxrss / 2**20  # Linux counts in KiB
    return torch.cuda.max_memory_allocated(device) / 2**30


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


def save_checkpoint(state: State, path: Path) -> None:
    """Everything a run needs to go on."""
    content = {
        "network": state.network.state_dict(),
        "average": state.average.state_dict(),
        "optimizer": state.optimizer.state_dict(),
        "schedule": state.schedule.state_dict(),
        "step": state.step,
        "best": state.best,
    }
    save_atomically(content, path)


def resume(state: State, path: Path) -> None:
    """Put a saved state back, in place."""
    content = torch.load(path, map_location="cpu", weights_only=True)
    for name in ("network", "average", "optimizer", "schedule"):
        getattr(state, name).load_state_dict(content[name])
    state.step, state.best = content["step"], content["best"]
