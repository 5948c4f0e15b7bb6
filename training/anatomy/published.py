"""The artifact of a segmenter: trained, measured on drawn masks, and later on other radiographs."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from app.anatomy import artifact as segmenters
from app.anatomy.artifact import SegmenterDescription
from app.anatomy.segmenter import Segmenter
from app.errors import ArtifactError
from app.patchnet import artifact as models
from app.patchnet.checkpoint import DISCLAIMER
from training.anatomy.box_zones import BoxZones, measure_boxes, read_marked
from training.anatomy.card import segmenter_card, with_figures
from training.anatomy.drawn import DrawnFigures, measure_drawn
from training.anatomy.fit import fit
from training.anatomy.outside import OutsideFigures, measure_outside
from training.anatomy.populations import PopulationFigures, measure_population
from training.anatomy.recipe import AnatomyRecipe
from training.anatomy.segmented import Reader
from training.files import read_model

_INTENDED_USE = f"Zones of evidence and the cardiothoracic ratio on frontal chest radiographs. {DISCLAIMER}"


@dataclass(frozen=True)
class Data:
    """What the figures of a segmenter are measured on.

    ``films`` is a CSV in CheXpert's layout, ``boxes`` CSVs of boxes; ``most`` limits the radiographs for outside shares
    and the findings of each CSV of boxes.
    """

    films: Path
    boxes: Sequence[Path] = ()
    most: int | None = None


@dataclass(frozen=True)
class Figures:
    """Figures on radiographs without drawn masks."""

    population: PopulationFigures
    outside: OutsideFigures
    boxes: dict[str, BoxZones]

    @property
    def metrics(self) -> dict[str, float]:
        """The figures by the names of the manifest."""
        return {
            **self.population.metrics,
            **self.outside.metrics,
            **{
                f"boxes.{name.replace(', ', '.').replace(' ', '_')}.{method.lower().replace(' ', '_')}": figures.rate(
                    method
                ).value
                for name, figures in self.boxes.items()
                for method in figures.hits
            },
        }


def train_segmenter(config: Path, root: Path, out: Path, device: str) -> DrawnFigures:
    """Train by a recipe, measure on its validation radiographs and write the artifact. Raises domain errors."""
    recipe = read_model(config, AnatomyRecipe)
    return write_segmenter(fit(recipe, root, device), recipe, root, out)


def write_segmenter(network: Segmenter, recipe: AnatomyRecipe, root: Path, out: Path) -> DrawnFigures:
    """Measure a trained segmenter and write its artifact."""
    drawn = measure_drawn(Reader(network, recipe.image_size), root / recipe.valid)
    description = SegmenterDescription(
        name=recipe.name,
        version=recipe.version,
        image_size=recipe.image_size,
        intended_use=_INTENDED_USE,
        training_data=recipe.training_data,
        attribution=recipe.attribution,
        licence=recipe.licence,
        created=datetime.now(UTC).replace(microsecond=0),
        recipe=recipe.model_dump(mode="json"),
        metrics=drawn.metrics,
    )
    segmenters.save(out, network, description, segmenter_card(description, drawn))
    return drawn


def measure_segmenter(directory: Path, data: Data, patch: Path, image: Path | None, resamples: int) -> Figures:
    """Measure an artifact on radiographs without drawn masks, and write the figures into its manifest and card.

    ``patch`` is a patch model, whose evidence is summed over zones; ``image`` its image-level twin, for Grad-CAM.
    Raises domain errors.
    """
    stored = segmenters.read(directory)
    reader, model = Reader.of(stored), models.load(patch)
    twin = None if image is None else models.load(image).network
    figures = Figures(
        population=measure_population(reader, data.films, resamples),
        outside=measure_outside(reader, model, data.films, data.most),
        boxes={
            f"{path.parent.name}/{path.stem}, {candidates}": figures
            for path in data.boxes
            for candidates, figures in measure_boxes(reader, model.network, twin, read_marked(path, data.most)).items()
        },
    )
    manifest = stored.manifest.model_copy(update={"metrics": stored.manifest.metrics | figures.metrics})
    card = with_figures(_card(directory), figures.population, figures.boxes, figures.outside.shares)
    segmenters.amend(directory, manifest, card)
    return figures


def _card(directory: Path) -> str:
    try:
        return (directory / models.CARD).read_text(encoding="utf-8")
    except OSError as error:
        raise ArtifactError(f"{directory / models.CARD} cannot be read: {error.strerror}") from None
