"""The recipe of a segmenter, read from a YAML file under ``training/runs/anatomy``."""

from typing import Annotated

from pydantic import Field

from app.validation import StrictModel
from training.recipe import Fraction, Positive

Range = tuple[Positive, Positive]


class Changes(StrictModel):
    """Random changes of a training image and its masks."""

    scale: Range = Field(default=(0.65, 1.35), description="Side of the shown square, as a share of the image's.")
    stretch: float = Field(default=0.12, ge=0, lt=1, description="Largest change of width against height.")
    rotation_degrees: float = Field(default=12.0, ge=0)
    shift: float = Field(default=0.15, ge=0, description="Largest shift, as a share of the image's side.")
    flip_probability: Fraction = Field(default=0.5, description="Left and right lung change their names.")
    gamma: Range = (0.55, 1.8)
    contrast: Range = (0.6, 1.5)
    brightness: Range = (0.7, 1.3)
    border_probability: Fraction = Field(default=0.35, description="Probability of collimated or padded borders.")
    haze_probability: Fraction = Field(default=0.4, description="Probability of a bright spot, as an opacity makes.")
    blur_probability: Fraction = 0.3
    noise: float = Field(default=0.04, ge=0, description="Largest standard deviation of the noise.")


class Stage(StrictModel):
    """One pass of training; each begins with the averaged weights of the one before."""

    image_size: Annotated[int, Field(ge=32, multiple_of=16)]
    epochs: int = Field(ge=1)
    peak_rate: Positive


class AnatomyRecipe(StrictModel):
    """Everything that determines the weights of a segmenter.

    CSV files have the columns Path and Labels (a picture of the classes of ``app.anatomy.segmenter``), relative to the
    file; ``train`` and ``valid`` are relative to ``--data``.
    """

    name: str
    version: str
    train: str
    valid: str
    changes: Changes = Changes()
    stages: list[Stage] = Field(min_length=1, description="Small images first: most is learned there, in less time.")
    batch_images: int = Field(default=12, ge=1)
    warmup_share: Fraction = 0.1
    weight_decay: float = Field(default=0.02, ge=0)
    average_decay: Fraction = 0.99
    seed: int = 0
    training_data: str
    attribution: str
    licence: str

    @property
    def image_size(self) -> int:
        """Side of the images that the trained segmenter reads."""
        return self.stages[-1].image_size
