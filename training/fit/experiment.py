"""One experiment: a recipe carried out on data, its teachers first, from the start or from where it was stopped."""

from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from app.patchnet import backbones
from app.patchnet.findings import FINDING_NAMES
from app.patchnet.model import PatchNet
from training.data import voc
from training.data.datasets import FilmDataset, Films, Unknown, read_films
from training.files import save_atomically
from training.fit.distillation import Teacher, soften
from training.fit.distributed import World, joined
from training.fit.head import fit_head
from training.fit.loop import resume, start, train
from training.fit.sampling import steps_per_epoch
from training.fit.weight_interpolation import best_blend
from training.recipe import Recipe, read_recipe


@dataclass(frozen=True)
class LeftOut:
    """Films with one value in a column of their CSV file, and all films of their patients wherever they are listed."""

    column: str
    value: str
    patients: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Experiment:
    """What is run where: ``root`` holds the data, ``work`` gets checkpoints, logs and the best weights.

    ``left_out`` films neither train nor choose, here and in the teachers.
    """

    config: Path
    root: Path
    work: Path
    device: str
    left_out: LeftOut | None = None

    @property
    def teachers(self) -> list["Experiment"]:
        """The experiments whose networks this one learns from."""
        distillation = read_recipe(self.config).distillation
        names = distillation.teachers if distillation else []
        return [replace(self, config=self.config.parent / name, work=self.work / Path(name).stem) for name in names]


def run(experiment: Experiment) -> None:
    """Train to the end of the recipe; in all processes of torchrun. What is finished is not done again."""
    for teacher in experiment.teachers:
        run(teacher)
    recipe = read_recipe(experiment.config)
    experiment.work.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe.seed)
    with joined(experiment.device) as world:
        _fit(experiment, recipe, world)


def trained_network(experiment: Experiment) -> PatchNet:
    """The network with the best weights of a run."""
    network = initial_network(read_recipe(experiment.config).model_copy(update={"initial": "random"}))
    network.backbone.load_state_dict(torch.load(experiment.work / "best.pt", map_location="cpu", weights_only=True))
    return network


def validation_films(experiment: Experiment) -> Films:
    """The films that choose between the weights of a run."""
    recipe = read_recipe(experiment.config)
    return _read(experiment, recipe, recipe.data.valid, "mask")


def initial_network(recipe: Recipe) -> PatchNet:
    """The network a recipe starts from."""
    make = backbones.build_pretrained if recipe.initial == "imagenet" else backbones.build
    classes = voc.CLASSES if recipe.data.layout == "voc2012" else FINDING_NAMES
    network = PatchNet(make(recipe.backbone, len(classes)), recipe.image_size, recipe.patch_size)
    if recipe.channels_last:
        network = network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue] - missing overload
    return network


def _fit(experiment: Experiment, recipe: Recipe, world: World) -> None:
    keep = partial(FilmDataset, image_size=recipe.image_size, keep_in_memory=recipe.data.keep_in_memory)
    data = [keep(films) for films in _training_films(experiment, recipe, world)]
    valid = keep(validation_films(experiment), keep_in_memory=True)
    network, work = initial_network(recipe), experiment.work
    initial, checkpoint = work / "initial.pt", work / "last.pt"
    if initial.exists():
        network.backbone.load_state_dict(torch.load(initial, map_location="cpu", weights_only=True))
    elif recipe.head_penalty is not None:
        fit_head(network, recipe.backbone, data[0], recipe.head_penalty)
    if world.leads:
        save_atomically(network.backbone.state_dict(), initial)
    state = start(deepcopy(network), recipe, recipe.epochs * steps_per_epoch(recipe, data))
    if checkpoint.exists():
        resume(state, checkpoint)
    train(state, recipe, data, valid, work, world)
    if recipe.blend_shares and world.leads:
        best, score = best_blend(
            network, state.average.cpu(), recipe.blend_shares, valid, recipe.batch_images, world.device
        )
        if score > state.best:
            save_atomically(best.cpu().backbone.state_dict(), work / "best.pt")


def _training_films(experiment: Experiment, recipe: Recipe, world: World) -> list[Films]:
    parts = [_read(experiment, recipe, name, recipe.data.unknown) for name in recipe.data.train]
    distillation = recipe.distillation
    if distillation is None:
        return parts
    teachers = [
        Teacher(trained_network(teacher), read_recipe(teacher.config).image_size) for teacher in experiment.teachers
    ]
    return [
        soften(films, teachers, distillation.share, world.device, distillation.findings_left_out) for films in parts
    ]


def _read(experiment: Experiment, recipe: Recipe, name: str, unknown: Unknown) -> Films:
    if recipe.data.layout == "voc2012":
        films = voc.read_voc(experiment.root, name)
    else:
        films = read_films(experiment.root / name, unknown)
    gone = experiment.left_out
    return films if gone is None else films.without(gone.column, gone.value, gone.patients)
