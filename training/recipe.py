"""The recipe of one training run, read from a YAML file under ``training/runs``."""

from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import Field, ValidationError, model_validator

from app.errors import ConfigurationError
from app.validation import StrictModel, describe

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]


class Data(StrictModel):
    """Which films. Paths are relative to ``--data``; images are named by the CSV's Path column, relative to the CSV."""

    layout: Literal["films", "voc2012"] = Field(
        default="films", description="CSV files of films; or image sets of PASCAL VOC 2012, for --data/VOCdevkit."
    )
    train: list[str] = Field(min_length=1, description="CSV files; films of all of them are mixed.")
    weights: list[Fraction] = Field(
        default_factory=list[float], description="Share of each file's films drawn per epoch; empty: all of them."
    )
    valid: str
    test: str | None = None
    unknown: Literal["mask", "zeros", "ones"] = Field(default="mask", description="What an unknown label counts.")
    keep_in_memory: bool = Field(default=True, description="Decode every film once and keep it as 8-bit.")

    workers: int = Field(default=8, ge=0, description="Processes that decode ahead where films are not in memory.")

    @model_validator(mode="after")
    def _one_weight_a_file(self) -> Self:
        if self.weights and len(self.weights) != len(self.train):
            raise ValueError("weights must be empty or have one share for each training file")
        return self


class Augmentation(StrictModel):
    """Random changes of a film. ``area`` is the range of the square crop's share of the area."""

    area: tuple[Fraction, Fraction] = (0.5, 1.0)
    rotation_degrees: float = Field(default=5.0, ge=0)
    brightness: tuple[Positive, Positive] = (0.7, 1.3)
    blur_probability: Fraction = Field(default=0.0, description="Chance to lose detail by shrinking and enlarging.")
    flip_probability: Fraction = Field(
        default=0.0, description="Chance of a left-right flip; the heart changes its side."
    )


class Distillation(StrictModel):
    """Learn from the probabilities of other networks as well as from the labels."""

    teachers: list[str] = Field(min_length=1, description="Recipes beside this one; they are trained first.")
    share: Fraction = Field(default=0.5, description="Share of the teachers' mean probability in a known label.")
    findings_left_out: list[str] = Field(default=[], description="Findings that keep their labels as they are.")


class Recipe(StrictModel):
    """Everything that decides the weights, with the paper's values as defaults."""

    name: str
    backbone: str = "efficientnet_v2_s"
    image_size: int = 512
    patch_size: int = 64
    initial: Literal["imagenet", "random"] = "imagenet"
    head_penalty: float | None = Field(
        default=None,
        description="Fit the head on frozen features first, with this L2 penalty; null: start it at random.",
    )
    data: Data
    augmentation: Augmentation = Augmentation()
    distillation: Distillation | None = None
    epochs: int = Field(default=20, ge=0)
    stop_after: int | None = Field(
        default=None, ge=0, description="Stop after so many epochs; the learning rate still spans all of them."
    )
    batch_images: int = Field(default=16, ge=1)
    micro_batch_images: int | None = Field(default=None, ge=1, description="Images at a time, to save memory.")
    freeze: list[str] = Field(
        default_factory=list[str], description="Submodules of the backbone that keep their ImageNet weights."
    )
    freeze_norms: bool = Field(default=False, description="Keep the batch norms' statistics as they are.")
    patch_share: Fraction = Field(default=1.0, description="Share of an image's patches, drawn anew, that a step sees.")
    peak_rate: Positive = 1e-4
    head_rate_factor: Positive = Field(
        default=1.0, description="The head's learning rate, as a multiple of the backbone's."
    )
    warmup_share: Fraction = 0.05
    weight_decay: float = Field(default=0.01, ge=0)
    average_decay: Fraction = Field(default=0.0, description="Decay of the exponential weight average a step; 0: none.")
    blend_shares: list[Fraction] = Field(
        default_factory=list[float],
        description="At the end, try these shares of the way from the initial to the averaged weights; empty: none.",
    )
    mixed_precision: bool = True
    channels_last: bool = False
    compile: bool = False
    seed: int = 0

    @property
    def last_epoch(self) -> int:
        """How many epochs are run."""
        return self.epochs if self.stop_after is None else min(self.stop_after, self.epochs)


def read_recipe(path: Path) -> Recipe:
    """A recipe from a YAML file. Raises ConfigurationError, saying what is wrong."""
    try:
        return Recipe.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
    except yaml.YAMLError:
        raise ConfigurationError(f"{path} is no YAML") from None
    except ValidationError as error:
        raise ConfigurationError(f"{path}: {'; '.join(describe(error))}") from None
