"""One experiment: a recipe applied to data, after its teachers; an interrupted run continues."""

from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from pickle import UnpicklingError

import torch
from torch.utils.data import ConcatDataset

from app.errors import ConfigurationError
from app.patchnet import backbones
from app.patchnet.findings import FINDING_NAMES
from app.patchnet.model import PatchNet
from training.data import voc
from training.data.datasets import FilmDataset, Films, Unknown, read_films
from training.files import save_atomically
from training.fit.depthwise import as_matrix_products
from training.fit.distillation import Teacher, soften
from training.fit.distributed import World, joined
from training.fit.head import LabelledImages, fit_head
from training.fit.loop import CHECKPOINT, train
from training.fit.sampling import steps_per_epoch
from training.fit.state import State, resume, start
from training.fit.weight_interpolation import best_blend
from training.recipe import Recipe


@dataclass(frozen=True)
class LeftOut:
    """Radiographs with one value in a column of their CSV file, and all radiographs of their patients in any file."""

    column: str
    value: str
    patients: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Experiment:
    """A recipe and where it runs: ``root`` holds the data, ``work`` receives checkpoints, logs and the best weights.

    ``teachers`` are the experiments whose models this one learns from. ``left_out`` radiographs are used neither for
    training nor for validation, here and in the teachers.
    """

    recipe: Recipe
    root: Path
    work: Path
    device: str
    teachers: tuple["Experiment", ...] = ()
    left_out: LeftOut | None = None

    def without(self, left_out: LeftOut, work: Path) -> "Experiment":
        """The same experiment in another folder, without some radiographs, here and in the teachers."""
        teachers = tuple(teacher.without(left_out, work / teacher.work.name) for teacher in self.teachers)
        return replace(self, work=work, left_out=left_out, teachers=teachers)


def run(experiment: Experiment) -> None:
    """Train to the end of the recipe, in every process of torchrun; finished work is not repeated."""
    for teacher in experiment.teachers:
        run(teacher)
    experiment.work.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(experiment.recipe.seed)
    with joined(experiment.device) as world:
        _fit(experiment, world)


def trained_network(experiment: Experiment) -> PatchNet:
    """The model with the best weights of a run. Raises ConfigurationError where there are none, or others."""
    path = experiment.work / "best.pt"
    if not path.is_file():
        raise ConfigurationError(f"{path} does not exist: `train` with this --work has not finished an epoch")
    network = initial_network(experiment.recipe.model_copy(update={"initial": "random"}))
    try:
        network.backbone.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except (RuntimeError, UnpicklingError, EOFError):
        raise ConfigurationError(f"{path} does not hold the weights of this recipe's model") from None
    return network


def validation_films(experiment: Experiment) -> Films:
    """The radiographs that choose between the weights of a run."""
    return _read(experiment, experiment.recipe.data.valid, "mask")


def initial_network(recipe: Recipe) -> PatchNet:
    """The model that a recipe starts from."""
    make = backbones.build_pretrained if recipe.initial == "imagenet" else backbones.build
    classes = voc.CLASSES if recipe.data.layout == "voc2012" else FINDING_NAMES
    network = PatchNet(make(recipe.backbone, len(classes)), recipe.image_size, recipe.patch_size)
    if recipe.channels_last:
        network = network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue] - missing overload
    return network


def _fit(experiment: Experiment, world: World) -> None:
    recipe, work = experiment.recipe, experiment.work
    keep = partial(FilmDataset, image_size=recipe.image_size, keep_in_memory=recipe.data.keep_in_memory)
    data = [keep(films) for films in _training_films(experiment, world)]
    valid = keep(validation_films(experiment), keep_in_memory=True)
    network = initial_network(recipe)
    if world.device == "cpu":
        as_matrix_products(network)
    _initialise(network, recipe, ConcatDataset(data), work, world)
    state = start(deepcopy(network), recipe, recipe.epochs * steps_per_epoch(recipe, data))
    if (work / CHECKPOINT).exists():
        resume(state, work / CHECKPOINT)
    train(state, recipe, data, valid, work, world)
    if recipe.blend_shares and world.leads:
        _keep_best_blend(network, state, recipe, valid, work, world)


def _initialise(network: PatchNet, recipe: Recipe, data: LabelledImages, work: Path, world: World) -> None:
    """Give the model, in place, its weights before the first step: those of an earlier call, or with a fitted head."""
    initial = work / "initial.pt"
    if initial.exists():
        network.backbone.load_state_dict(torch.load(initial, map_location="cpu", weights_only=True))
    elif recipe.head_penalty is not None:
        fit_head(network, recipe.backbone, data, recipe.head_penalty)
    if world.leads:
        save_atomically(network.backbone.state_dict(), initial)


def _keep_best_blend(
    initial: PatchNet, state: State, recipe: Recipe, valid: FilmDataset, work: Path, world: World
) -> None:
    """Keep the best interpolation of initial and averaged weights where it beats the best weights of the run."""
    final = state.averaged.cpu()
    best, score = best_blend(initial, final, recipe.blend_shares, valid, recipe.batch_images, world.device)
    if score > state.best:
        save_atomically(best.cpu().backbone.state_dict(), work / "best.pt")


def _training_films(experiment: Experiment, world: World) -> list[Films]:
    recipe = experiment.recipe
    parts = [_read(experiment, name, recipe.data.unknown) for name in recipe.data.train]
    distillation = recipe.distillation
    if distillation is None:
        return parts
    teachers = [Teacher(trained_network(teacher), teacher.recipe.image_size) for teacher in experiment.teachers]
    return [
        soften(films, teachers, distillation.share, world.device, distillation.findings_left_out) for films in parts
    ]


def _read(experiment: Experiment, name: str, unknown: Unknown) -> Films:
    if experiment.recipe.data.layout == "voc2012":
        films = voc.read_voc(experiment.root, name)
    else:
        films = read_films(experiment.root / name, unknown)
    gone = experiment.left_out
    return films if gone is None else films.without(gone.column, gone.value, gone.patients)
