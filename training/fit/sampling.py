"""The radiographs of every step, decided by seed and epoch alone, and their loading from disk."""

from collections.abc import Iterator

import numpy as np
from torch import Tensor
from torch.utils.data import ConcatDataset, DataLoader

from training.data.datasets import FilmDataset
from training.fit.distributed import World
from training.recipe import Recipe


def steps_per_epoch(recipe: Recipe, data: list[FilmDataset]) -> int:
    """Steps of one epoch; radiographs that do not fill a last batch are left out of this epoch."""
    return max(1, sum(counts(recipe, data)) // recipe.batch_images)


def step_seed(*parts: int) -> int:
    """The seed of one step's random draws, from recipe seed, epoch, step and, where it matters, rank.

    The same in every process and Python version.
    """
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> 1)


def counts(recipe: Recipe, data: list[FilmDataset]) -> list[int]:
    """Number of radiographs that an epoch draws from each data set."""
    shares = recipe.data.weights or [1.0] * len(data)
    return [round(share * len(films)) for share, films in zip(shares, data, strict=True)]


def epoch_batches(recipe: Recipe, data: list[FilmDataset], epoch: int) -> Iterator[list[tuple[int, int]]]:
    """The radiographs of every step of one epoch, as (data set, index), in an order that seed and epoch decide."""
    generator = np.random.default_rng((recipe.seed, epoch))
    drawn = [
        (which, int(index))
        for which, count in enumerate(counts(recipe, data))
        for index in generator.permutation(len(data[which]))[:count]
    ]
    order = generator.permutation(len(drawn))
    for step in range(steps_per_epoch(recipe, data)):
        yield [drawn[place] for place in order[step * recipe.batch_images : (step + 1) * recipe.batch_images]]


def loader(
    recipe: Recipe, data: list[FilmDataset], films: list[tuple[int, int]], world: World
) -> DataLoader[tuple[Tensor, Tensor]]:
    """Load the radiographs, given as (data set, index), in batches of this process.

    Radiographs that are not kept in memory are decoded ahead by worker processes.
    """
    ends = np.cumsum([0, *(len(part) for part in data)])
    order = [int(ends[which]) + index for which, index in films]
    workers = 0 if recipe.data.keep_in_memory else recipe.data.workers
    return DataLoader(ConcatDataset(data), recipe.batch_images // world.size, sampler=order, num_workers=workers)
