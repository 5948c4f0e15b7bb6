"""The training loop. Random draws depend on (seed, epoch, step) alone, so a resumed run is the same run."""

from dataclasses import dataclass, field
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from time import monotonic

import torch
from torch import Generator
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from app.errors import ConfigurationError
from training.data.datasets import FilmDataset
from training.fit.distributed import World
from training.fit.sampling import epoch_batches, loader, step_seed, steps_per_epoch
from training.fit.state import State, save_checkpoint
from training.fit.step import Batch, Figures, Stepper, freeze_norms
from training.fit.validation import keep_if_best
from training.recipe import Recipe

CHECKPOINT = "last.pt"


def train(
    state: State, recipe: Recipe, data: list[FilmDataset], valid: FilmDataset, folder: Path, world: World
) -> None:
    """Train from where ``state`` is to the end of the recipe; ``folder`` receives checkpoints, logs, the best weights.

    Every process of ``world`` calls it and trains on its share of every batch; the first one writes. Batch norms that
    are not frozen use the patches of their own process. Raises ConfigurationError where the number of processes does
    not divide the batch.
    """
    if recipe.batch_images % world.size:
        raise ConfigurationError(f"{world.size} processes cannot share batches of {recipe.batch_images} images evenly")
    writer = SummaryWriter(str(folder / "logs")) if world.leads else None
    state.network.to(world.device).train()
    if recipe.freeze_norms:
        freeze_norms(state.network)
    state.average.to(world.device)
    stepper = Stepper(state, recipe, world)
    per_epoch = steps_per_epoch(recipe, data)
    progress = Progress(recipe, per_epoch, state.step, world.device)
    if not state.step:
        keep_if_best(state, valid, recipe.batch_images, folder, world, writer)

    for epoch in range(state.step // per_epoch, recipe.last_epoch):
        _train_epoch(stepper, state, recipe, data, epoch, folder, world, writer)
        keep_if_best(state, valid, recipe.batch_images, folder, world, writer)
        if world.leads:
            save_checkpoint(state, folder / CHECKPOINT)
            tqdm.write(progress.text(state.step, epoch))
    if writer is not None:
        writer.close()


def _train_epoch(
    stepper: Stepper,
    state: State,
    recipe: Recipe,
    data: list[FilmDataset],
    epoch: int,
    folder: Path,
    world: World,
    writer: SummaryWriter | None,
) -> None:
    """The steps of one epoch that are still to do."""
    per_epoch = steps_per_epoch(recipe, data)
    batches = list(epoch_batches(recipe, data, epoch))[state.step % per_epoch :]  # [(data set, index)] per step
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
        known = sum(int((~data[which].films.labels[index].isnan()).sum()) for which, index in batch)
        generator = Generator().manual_seed(step_seed(recipe.seed, epoch, state.step))
        torch.manual_seed(step_seed(recipe.seed, epoch, state.step, world.rank))  # dropout
        figures = stepper.run(Batch(images, labels, len(batch), known), generator)
        if writer is not None:
            _log(writer, state, figures)
        bar.set_postfix(loss=f"{figures.loss:.3f}", refresh=False)
        # At the end of an epoch the validation comes first: a resumed run must not skip it.
        if world.leads and state.step % recipe.checkpoint_steps == 0 and state.step % per_epoch:
            save_checkpoint(state, folder / CHECKPOINT)


def _log(writer: SummaryWriter, state: State, figures: Figures) -> None:
    body, head = state.schedule.get_last_lr()
    writer.add_scalar("loss/train", figures.loss, state.step)
    writer.add_scalar("gradient_norm/train", figures.gradient_norm, state.step)
    writer.add_scalar("learning_rate/body", body, state.step)
    writer.add_scalar("learning_rate/head", head, state.step)


@dataclass(frozen=True)
class Progress:
    """Speed, memory and remaining time of this call, which began at ``first_step``."""

    recipe: Recipe
    per_epoch: int
    first_step: int
    device: str
    begin: float = field(default_factory=monotonic)

    def text(self, step: int, epoch: int) -> str:
        """One line for the terminal after an epoch."""
        speed = (step - self.first_step) * self.recipe.batch_images / (monotonic() - self.begin)
        steps_left = (self.recipe.last_epoch - epoch - 1) * self.per_epoch
        minutes = steps_left * self.recipe.batch_images / speed / 60
        return f"{speed:.1f} images/s, peak memory {peak_memory(self.device):.1f} GiB, {minutes:.0f} min left"


def peak_memory(device: str) -> float:
    """The most memory that this process has used so far, GiB: of the GPU, or of the machine."""
    if device == "cpu":
        return getrusage(RUSAGE_SELF).ru_maxrss / 2**20  # Linux counts in KiB
    return torch.cuda.max_memory_allocated(device) / 2**30
