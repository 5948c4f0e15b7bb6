"""The model card of a segmenter."""

from app.anatomy.artifact import SegmenterDescription
from app.anatomy.zones import OUTSIDE_LIMIT
from training.anatomy.box_zones import BoxZones
from training.anatomy.drawn import DrawnFigures
from training.anatomy.populations import PopulationFigures
from training.publish.markdown import estimate, figure, markdown_table, with_marked

_SECTION = "figures"

_CARD = """\
# Model card: {name} {version}

{intended_use}

## Architecture

A U-Net on the first five blocks of EfficientNet-Lite0 reads the analysed square at {image_size} px and classifies each
pixel as left lung, right lung, heart or background. Its output is averaged with that of the mirror image. It runs only
when zones are requested (`/explain?zones=true`), and no probability depends on it.

## Training data

{training_data}

## Quality on drawn masks

{drawn}

## Limits

- The masks of the training data show the lungs up to the heart: what of a lung lies behind the heart counts as heart.
- A lung that is white (effusion, consolidation) or collapsed has no visible outline. The quality check marks many, not
  all of these radiographs as not trusted.
- The cardiothoracic ratio holds for posteroanterior radiographs of an upright patient; the heart appears larger on
  anteroposterior ones.
- The heart's outline on the diaphragm is an estimate in the training data too.

## Licence and attribution

Weights: {licence}. {attribution}
"""


def segmenter_card(description: SegmenterDescription, drawn: DrawnFigures) -> str:
    """The text of ``MODEL_CARD.md``."""
    stated = {"name", "version", "intended_use", "training_data", "licence", "attribution", "image_size"}
    rows = [
        ("figure", f"{drawn.films} validation radiographs"),
        *((f"Dice, {name}", figure(value)) for name, value in drawn.dice.items()),
        ("cardiothoracic ratio, mean absolute error", figure(drawn.ratio_error, 4)),
        ("cardiothoracic ratio, mean error", figure(drawn.ratio_bias, 4)),
        ("not trusted", f"{drawn.distrusted:.1%}"),
    ]
    return _CARD.format(**description.model_dump(include=stated), drawn=markdown_table(rows))


def with_figures(
    card: str, population: PopulationFigures, boxes: dict[str, BoxZones], outside: dict[str, float]
) -> str:
    """A card with the figures on radiographs without drawn masks, and of the zones."""
    text = [
        "## Quality on other radiographs",
        markdown_table(
            [
                ("figure", f"{population.films} radiographs"),
                ("not trusted", f"{population.distrusted:.1%}"),
                ("reasons", ", ".join(f"{code} {count}" for code, count in population.reasons.items()) or "-"),
                (
                    f"AUROC of the cardiothoracic ratio for Cardiomegaly ({population.positives} positive)",
                    estimate(population.cardiomegaly),
                ),
            ]
        ),
    ]
    if boxes:
        text += ["## Zones against radiologists' boxes", _BOXES, _box_table(boxes)]
    if outside:
        rows = [(name, f"{value:.0%}") for name, value in outside.items()]
        text += ["## Evidence outside lungs and heart", _OUTSIDE, markdown_table([("share", "value"), *rows])]
    return with_marked(card, _SECTION, "\n\n".join(text), before=["## Limits"])


_BOXES = (
    "How often the zone with the most positive evidence holds the centre of a box of the finding, with 95 % intervals: "
    "of all zones, where large zones outside the chest win by their area, and of the zones of lungs and heart alone. "
    "Radiographs that are not trusted are left out. Chance is the area of the zones that hold the centres."
)
_OUTSIDE = (
    "Of trusted radiographs above the default threshold of a finding, also of findings that are not validated, but "
    "without No Finding and Support Devices: the share of the positive evidence that lies outside lungs, heart and "
    f"mediastinum. The service warns above {OUTSIDE_LIMIT:.0%} if it decides on the finding."
)


def _box_table(boxes: dict[str, BoxZones]) -> str:
    methods = list(dict.fromkeys(method for figures in boxes.values() for method in figures.hits))
    rows = [
        (
            name,
            str(figures.cases),
            *(estimate(figures.rate(method)) if method in figures.hits else "-" for method in methods),
            figure(sum(figures.chance) / max(1, len(figures.chance))),
        )
        for name, figures in boxes.items()
    ]
    return markdown_table([("boxes", "findings", *methods, "chance"), *rows])
