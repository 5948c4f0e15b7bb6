"""The model card: what was measured, on what, and the limits."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.patchnet.manifest import Description
from training.data.label_sets import ELEVEN
from training.fit.leave_out import overall
from training.measure.evaluation import Evaluation
from training.measure.findings import Decided
from training.measure.operating_points import decide
from training.measure.subgroups import Subgroup
from training.publish.decisions_section import SECTION, decisions_section
from training.publish.figures import EXAMPLE, Example
from training.publish.markdown import figure, markdown_table, marked
from training.publish.provenance import Provenance

RELIABILITY = "reliability.svg"

_CARD = """\
# Model card: {name} {version}

{intended_use}

## Architecture

A MedicalPatchNet: {backbone}, patches of {patch_size} px in an image of {image_size} px, {patches} patches for each
image. Every patch is classified on its own; the mean of the patch logits is the logit of the image, so the map of
patch logits is the complete explanation.

## Training data

{training_data}

{provenance}

## Quality

Calibration and operating points were fitted on the validation radiographs; the test radiographs were used once. 95 %
intervals are percentiles of {resamples} bootstrap resamples of the test radiographs. Sensitivity and specificity are
those of the default operating point, {default}.

{table}

Mean AUROC over the findings among these: {eleven}: **{test_mean}** ({low}-{high}) on test, {valid_mean} on validation.
Their mean expected calibration error on test: {calibration}.

![Reliability]({reliability})

*Share of test radiographs with the finding against the mean probability, in five bins with equal numbers of
radiographs.*

{decisions}

### Subgroups of the test radiographs

Means over those findings that have at least five radiographs of each class; means over different findings are not
comparable.

{subgroups}
{left_out}
## On a public radiograph

`{example}` of the package `pydicom-data` shows several lung masses. Below, the evidence for {example_finding} (red:
for, blue: against, on one scale) and the probabilities; a star marks a positive decision. The model also gives
probabilities for an inverted or rotated radiograph, which are wrong; the service warns of such radiographs
(`not_frontal`).

{pictures}

{answers}

## Experiments

Experiments on the way to this model, measured on validation radiographs alone, failures included.

{experiments}

## Limits

No patch sees beyond its {patch_size} px, so findings of proportion (a large heart) are hard; global properties of a
radiograph spread evenly over the map. The evidence shows where, not why.

## Licence and attribution

Weights: {licence}. {attribution}
"""

_LEFT_OUT = """
### Radiographs of another origin

Trained by the same recipe without one value of a column, and measured on the validation radiographs of that value,
mean AUROC is
{overall:.3f} ({each}).
"""


@dataclass(frozen=True)
class Measured:
    """The content of a card: figures with subgroups, decisions, leave-one-out figures, examples and experiments."""

    valid: Evaluation
    test: Evaluation
    decided: Decided
    resamples: int
    left_out: dict[str, Subgroup]
    examples: Sequence[Example]
    experiments: Sequence[Sequence[str]]


def model_card(description: Description, provenance: Provenance, measured: Measured) -> str:
    """The text of ``MODEL_CARD.md``; its pictures are named ``RELIABILITY`` and by ``picture_name``."""
    test = measured.test
    low, high = test.mean_auroc_interval
    return _CARD.format(
        **description.model_dump(
            include={"name", "version", "backbone", "patch_size", "image_size", "training_data", "intended_use"}
        ),
        provenance=provenance.section,
        patches=description.patches_per_side**2,
        licence=description.licence,
        attribution=description.attribution,
        resamples=f"{measured.resamples:,}",
        default=description.default_operating_point,
        table=_quality(test, measured.valid),
        eleven=", ".join(name for name in ELEVEN if name in test.findings),
        test_mean=figure(test.mean_auroc),
        low=figure(low),
        high=figure(high),
        valid_mean=figure(measured.valid.mean_auroc),
        calibration=figure(test.mean_calibration_error),
        reliability=RELIABILITY,
        decisions=marked(SECTION, decisions_section(measured.decided)),
        subgroups=_subgroups(test),
        left_out=_left_out(measured.left_out),
        example=EXAMPLE,
        example_finding=measured.examples[0].finding,
        pictures=" ".join(f"![{case.treatment}]({picture_name(case)})" for case in measured.examples),
        answers=_answers(description, measured.examples),
        experiments=markdown_table(measured.experiments),
    )


def picture_name(example: Example) -> str:
    """The file of an example's picture, beside the card."""
    return f"example-{example.treatment.replace(' ', '-')}.png"


def _quality(test: Evaluation, valid: Evaluation) -> str:
    header = (
        "finding", "positive / negative", "AUROC test (95 %)", "AUROC valid", "average precision", "sensitivity",
        "specificity", "calibration error",
    )  # fmt: skip
    rows: list[tuple[str, ...]] = [header]
    for name, quality in test.findings.items():
        low, high = quality.auroc_interval
        on_valid = valid.findings.get(name)
        rows.append(
            (
                name,
                f"{quality.positives} / {quality.negatives}",
                f"{quality.auroc:.3f} ({low:.3f}-{high:.3f})",
                figure(on_valid.auroc if on_valid else None),
                figure(quality.average_precision),
                figure(quality.sensitivity),
                figure(quality.specificity),
                figure(quality.calibration_error),
            )
        )
    return markdown_table(rows)


def _subgroups(test: Evaluation) -> str:
    rows = [("group", "radiographs", "findings", "mean AUROC")]
    for column, groups in test.subgroups.items():
        rows += [
            (f"{column}: {value}", str(group.films), str(group.findings), f"{group.mean_auroc:.3f}")
            for value, group in groups.items()
        ]
    return markdown_table(rows)


def _left_out(figures: dict[str, Subgroup]) -> str:
    if not figures:
        return ""
    each = ", ".join(
        f"{value}: {group.mean_auroc:.3f} ({group.films} radiographs, {group.findings} findings)"
        for value, group in figures.items()
    )
    return _LEFT_OUT.format(overall=overall(figures), each=each)


def _answers(description: Description, examples: Sequence[Example]) -> str:
    rows: list[tuple[str, ...]] = [("finding", *(case.treatment for case in examples))]
    called = [
        decide(description.findings, description.default_operating_point, case.probabilities[None])[0]
        for case in examples
    ]
    for column, record in enumerate(description.findings):
        if record.status != "untrained":
            values = zip((float(case.probabilities[column]) for case in examples), called, strict=True)
            rows.append((record.name, *(f"{value:.2f}{' *' if stars[column] else ''}" for value, stars in values)))
    return markdown_table(rows)
