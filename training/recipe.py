"""The recipe of one training run, read from a YAML file under ``training/runs``."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from app.validation import StrictModel
from training.files import read_model

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]


class Data(StrictModel):
    """The radiographs. Paths are relative to ``--data``; the Path column of a CSV file is relative to that file."""

    layout: Literal["films", "voc2012"] = Field(
        default="films", description="CSV files of radiographs, or image sets of PASCAL VOC 2012 in --data/VOCdevkit."
    )
    train: list[str] = Field(min_length=1, description="CSV files; their radiographs are mixed.")
    weights: list[Fraction] = Field(
        default_factory=list[float], description="Share of each file's radiographs in an epoch; empty: all of them."
    )
    valid: str
    test: str | None = None
    descriptions: list[str] = Field(
        default_factory=list[str],
        description="Descriptions of the data sets (YAML), relative to the recipe; empty: dataset.yaml beside CSVs.",
    )
    sharp: list[str] = Field(
        default_factory=list[str],
        description="Training files with sharp images: only these are blurred (augmentation.blur_probability), so that "
        "sharpness does not reveal the file; empty: all files.",
    )
    unknown: Literal["mask", "zeros", "ones"] = Field(
        default="mask", description="Use of unknown labels: excluded from the loss, 0 or 1."
    )
    keep_in_memory: bool = Field(default=True, description="Decode every radiograph once and keep it in 8 bits.")
    workers: int = Field(default=8, ge=0, description="Decoding processes for radiographs that are not in memory.")

    @model_validator(mode="after")
    def _fits_the_training_files(self) -> Self:
        if self.weights and len(self.weights) != len(self.train):
            raise ValueError("weights must be empty or have one share for each training file")
        if not set(self.sharp) <= set(self.train):
            raise ValueError("sharp must name training files")
        return self


class Augmentation(StrictModel):
    """Random changes of a training image. ``area`` is the range of the crop's share of the image area."""

    area: tuple[Fraction, Fraction] = (0.5, 1.0)
    rotation_degrees: float = Field(default=5.0, ge=0)
    brightness: tuple[Positive, Positive] = (0.7, 1.3)
    blur_probability: Fraction = Field(default=0.0, description="Probability of blurring by shrinking and enlarging.")
    flip_probability: Fraction = Field(
        default=0.0, description="Probability of a left-right flip; the heart changes its side."
    )


class Distillation(StrictModel):
    """Learning from the probabilities of other models as well as from the labels."""

    teachers: list[str] = Field(min_length=1, description="Recipe files beside this one; they are trained first.")
    share: Fraction = Field(default=0.5, description="Share of the teachers' mean probability in a known label.")
    findings_left_out: list[str] = Field(default=[], description="Findings whose labels stay unchanged.")


class Recipe(StrictModel):
    """Everything that determines the weights. Defaults are the paper's values."""

    name: str
    backbone: str = "efficientnet_v2_s"
    image_size: int = 512
    patch_size: int = 64
    initial: Literal["imagenet", "random"] = "imagenet"
    head_penalty: float | None = Field(
        default=None,
        description="First fit the head to frozen features of all films, with this L2 penalty; null: random head.",
    )
    data: Data
    augmentation: Augmentation = Augmentation()
    distillation: Distillation | None = None
    epochs: int = Field(default=20, ge=0)
    checkpoint_steps: int = Field(
        default=250, ge=1, description="Write a checkpoint after so many steps, and after every epoch."
    )
    stop_after: int | None = Field(
        default=None, ge=0, description="Stop after so many epochs; the learning-rate schedule still spans all of them."
    )
    batch_images: int = Field(default=16, ge=1)
    micro_batch_images: int | None = Field(
        default=None, ge=1, description="Images of one forward pass, to save memory."
    )
    freeze: list[str] = Field(
        default_factory=list[str], description="Submodules of the backbone that keep their ImageNet weights."
    )
    freeze_norms: bool = Field(default=False, description="Do not update the batch norms' statistics.")
    patch_share: Fraction = Field(
        default=1.0, description="Share of an image's patches that a step uses, drawn at random."
    )
    peak_rate: Positive = 1e-4
    head_rate_factor: Positive = Field(
        default=1.0, description="The head's learning rate, as a multiple of the backbone's."
    )
    warmup_share: Fraction = 0.05
    weight_decay: float = Field(default=0.01, ge=0)
    loss: Literal["bce", "asymmetric"] = Field(
        default="bce", description="Binary cross-entropy, or the asymmetric loss, which down-weights easy negatives."
    )
    average_decay: Fraction = Field(
        default=0.0, description="Decay of the exponential moving average of the weights; 0: none."
    )
    blend_shares: list[Fraction] = Field(
        default_factory=list[float],
        description="Interpolations between initial (0) and averaged (1) weights to try at the end; empty: none.",
    )
    mixed_precision: bool = True
    channels_last: bool = False
    compile: bool = False
    seed: int = 0

    @property
    def last_epoch(self) -> int:
        """Number of epochs to run."""
        return self.epochs if self.stop_after is None else min(self.stop_after, self.epochs)


def read_recipe(path: Path) -> Recipe:
    """Read a recipe from a YAML file. Raises ConfigurationError with the reason."""
    return read_model(path, Recipe)
