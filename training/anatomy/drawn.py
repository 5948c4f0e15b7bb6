"""A segmenter against drawn masks: overlap, and the error of the cardiothoracic ratio."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from app.anatomy.heart_size import heart_size
from app.anatomy.masks import SIDE, Masks, dice
from app.anatomy.quality import reasons_against
from app.anatomy.segmenter import CLASSES
from training.anatomy.data import read_drawn
from training.anatomy.segmented import Reader

ORGANS = range(1, len(CLASSES))


@dataclass(frozen=True)
class DrawnFigures:
    """Mean Dice of each organ; mean absolute error and mean error of the ratio; share of radiographs not trusted.

    The errors are None where no ratio could be measured.
    """

    films: int
    dice: dict[str, float]
    ratio_error: float | None
    ratio_bias: float | None
    distrusted: float

    @property
    def metrics(self) -> dict[str, float]:
        """The figures by the names of the manifest."""
        found = {
            **{f"valid.dice.{name.replace(' ', '_')}": value for name, value in self.dice.items()},
            "valid.ctr.mean_absolute_error": self.ratio_error,
            "valid.ctr.mean_error": self.ratio_bias,
            "valid.distrusted": self.distrusted,
        }
        return {name: value for name, value in found.items() if value is not None}


def measure_drawn(reader: Reader, csv_file: Path) -> DrawnFigures:
    """Measure on radiographs with drawn masks. Raises ConfigurationError."""
    drawn = read_drawn(csv_file, SIDE)
    overlaps: list[list[float]] = []
    errors: list[float] = []
    distrusted = 0
    for image, classes in zip(drawn.images, drawn.classes, strict=True):
        found, truth = reader.masks(image.float() / 255), _as_masks(classes.numpy())
        overlaps.append([dice(found.classes == organ, truth.classes == organ) for organ in ORGANS])
        distrusted += bool(reasons_against(found))
        measured, expected = heart_size(found), heart_size(truth)
        if measured is not None and expected is not None:
            errors.append(measured.ratio - expected.ratio)
    means = np.mean(overlaps, axis=0)
    return DrawnFigures(
        films=len(drawn),
        dice={CLASSES[organ]: float(mean) for organ, mean in zip(ORGANS, means, strict=True)},
        ratio_error=float(np.abs(errors).mean()) if errors else None,
        ratio_bias=float(np.mean(errors)) if errors else None,
        distrusted=distrusted / len(drawn),
    )


def _as_masks(classes: np.ndarray[tuple[int, int], np.dtype[np.uint8]]) -> Masks:
    whole = (1.0,) * len(CLASSES)
    return Masks(classes, whole, whole, whole)
