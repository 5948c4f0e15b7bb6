"""From trained weights to an artifact: calibrate and tune on validation films, measure on test films, save."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from scipy.special import expit
from torch.utils.data import DataLoader

from app.errors import ConfigurationError
from app.patchnet import artifact
from app.patchnet.backbones import head_of
from app.patchnet.findings import FINDING_NAMES
from app.patchnet.manifest import Description, FindingRecord, OperatingPoint
from app.patchnet.model import PatchNet
from training.data.datasets import FilmDataset
from training.measure.drift_reference import reference_of, served_columns
from training.measure.evaluation import Evaluation, evaluate, tune_thresholds
from training.measure.inference import predict_logits
from training.measure.subgroups import Subgroup, subgroups
from training.publish.calibration import fit_platt, fold
from training.publish.figures import examples, reliability_plot
from training.publish.model_card import ATTRIBUTION, INTENDED_USE, RELIABILITY, Measured, model_card, picture_name
from training.recipe import Recipe

LEAST_POSITIVES = 5
"""Fewer positive films than this on validation: the finding is called untrained."""

_LIMIT_QUANTILE = 0.99
_EXAMPLE_FINDING = "Lung Lesion"


@dataclass(frozen=True)
class Published:
    """An artifact that was written, and its figures."""

    directory: Path
    valid: Evaluation
    test: Evaluation


def publish(
    network: PatchNet,
    recipe: Recipe,
    valid: FilmDataset,
    test: FilmDataset,
    directory: Path,
    *,
    version: str,
    training_data: str,
    left_out: dict[str, Subgroup],
    experiments: Sequence[Sequence[str]],
    device: str,
    resamples: int = 10_000,
) -> Published:
    """Write the artifact for a trained network, which is calibrated in place.

    ``left_out`` holds the figures of the same recipe on kinds of films it was not shown, ``experiments`` a table of
    what was tried, its header first; both go into the card.

    Raises ConfigurationError where the validation films lack labels, ArtifactError where writing fails.
    """
    network.to(device)
    truth = valid.films.labels.double().numpy()
    trained = [name for index, name in enumerate(FINDING_NAMES) if (truth[:, index] == 1).sum() >= LEAST_POSITIVES]
    if not trained:
        raise ConfigurationError("no finding has enough validation films to be published")
    slopes, intercepts = fit_platt(predict_logits(network, valid, recipe.batch_images, device), truth)
    fold(head_of(recipe.backbone, network.backbone), slopes, intercepts)

    calibrated = predict_logits(network, valid, recipe.batch_images, device)
    thresholds = tune_thresholds(calibrated, truth, trained)
    on_valid = evaluate("validation", calibrated, truth, thresholds, resamples=resamples)
    test_logits = predict_logits(network, test, recipe.batch_images, device)
    test_truth = test.films.labels.double().numpy()
    on_test = replace(
        evaluate("test", test_logits, test_truth, thresholds, resamples=resamples),
        subgroups=subgroups(test_logits, test.films),
    )

    description = Description(
        name=recipe.name,
        version=version,
        backbone=recipe.backbone,
        image_size=recipe.image_size,
        patch_size=recipe.patch_size,
        findings=tuple(_record(name, thresholds, on_test) for name in FINDING_NAMES),
        display_limit=display_limit(network, valid, recipe.batch_images, device),
        intended_use=INTENDED_USE,
        training_data=training_data,
        attribution=ATTRIBUTION,
        licence="Apache-2.0",
        created=datetime.now(UTC).replace(microsecond=0),
        recipe=recipe.model_dump(mode="json"),
        metrics={
            "valid.auroc.mean": on_valid.mean_auroc,
            "test.auroc.mean": on_test.mean_auroc,
            "test.calibration_error.mean": on_test.mean_calibration_error,
        },
    )
    cases = examples(network.cpu(), _EXAMPLE_FINDING, description.display_limit)
    served = served_columns(description)
    seen = reference_of(network, valid, "validation", served, device)
    description = description.model_copy(update={"reference": seen})
    card = model_card(description, Measured(on_valid, on_test, resamples, left_out, cases, experiments))
    pictures = {picture_name(case): case.picture for case in cases}
    pictures[RELIABILITY] = reliability_plot(expit(test_logits), test_truth)
    artifact.save(directory, network, description, card, pictures)
    return Published(directory, on_valid, on_test)


@torch.inference_mode()
def display_limit(network: PatchNet, data: FilmDataset, batch_images: int, device: str) -> float:
    """Symmetric limit of the overlay's colours, in logits: 99 % of all patch logits of the films lie within."""
    network.eval()
    sizes = [
        network.patch_logits(images.to(device).float() / 255).abs().cpu().numpy()
        for images, _ in DataLoader(data, batch_images)
    ]
    return round(float(np.quantile(np.concatenate(sizes), _LIMIT_QUANTILE)), 1)


def _record(name: str, thresholds: dict[str, float], test: Evaluation) -> FindingRecord:
    if name not in thresholds or name not in test.findings:
        return FindingRecord(name=name, status="untrained")
    points = {"balanced": OperatingPoint(threshold=thresholds[name])}
    return FindingRecord(name=name, status="validated", operating_points=points, quality=test.findings[name])
