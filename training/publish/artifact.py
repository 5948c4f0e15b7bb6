"""From trained weights to an artifact: calibrate and decide on validation data, measure on test data, write."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from app.errors import ConfigurationError
from app.patchnet import artifact
from app.patchnet.backbones import head_of
from app.patchnet.findings import FINDING_NAMES
from app.patchnet.manifest import Description
from app.patchnet.model import PatchNet
from training.data.datasets import FilmDataset, Films
from training.measure.drift_reference import reference_of, served_columns
from training.measure.evaluation import Evaluation, evaluate
from training.measure.findings import Decided, decide_findings, held_out_qualities, with_qualities
from training.measure.inference import Predicted, predict_logits
from training.measure.subgroups import Subgroup, subgroups
from training.publish.calibration import fit_platt, fold
from training.publish.figures import Example, examples, reliability_plot
from training.publish.model_card import RELIABILITY, Measured, model_card, picture_name
from training.publish.provenance import Provenance
from training.recipe import Recipe

LEAST_LABELS = 5
"""Positive and negative training radiographs that a finding needs; with fewer it is untrained."""

_LIMIT_QUANTILE = 0.99
_SMALLEST_LIMIT = 0.1  # an untrained model can have logits that round to 0, and a colour scale needs an extent
_EXAMPLE_FINDING = "Lung Lesion"


@dataclass(frozen=True)
class Release:
    """What a publication states beside the measured figures.

    ``trained`` are the findings with training labels, ``left_out`` the leave-one-out figures of the recipe,
    ``experiments`` a table of its experiments, header first.
    """

    version: str
    provenance: Provenance
    trained: Collection[str]
    left_out: dict[str, Subgroup]
    experiments: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Published:
    """A written artifact and its figures."""

    directory: Path
    valid: Evaluation
    test: Evaluation
    decided: Decided


def trained_findings(parts: Sequence[Films]) -> list[str]:
    """The findings with enough labels of both classes in the training radiographs."""
    labels = torch.cat([films.labels for films in parts])
    counts = torch.stack([(labels == value).sum(dim=0) for value in (0, 1)]).amin(dim=0)  # [14]
    return [name for name, count in zip(FINDING_NAMES, counts.tolist(), strict=True) if count >= LEAST_LABELS]


def publish(
    network: PatchNet,
    recipe: Recipe,
    valid: FilmDataset,
    test: FilmDataset,
    directory: Path,
    release: Release,
    *,
    device: str,
    resamples: int = 10_000,
) -> Published:
    """Write the artifact of a trained model, which is calibrated in place.

    Raises ConfigurationError where the data lack labels, ArtifactError where writing fails.
    """
    if not release.trained:
        raise ConfigurationError(
            f"publishing needs {LEAST_LABELS} positive and {LEAST_LABELS} negative training labels; no finding has them"
        )
    network.to(device)
    _calibrate(network, recipe, valid, device)
    on_valid = _predicted("validation", network, valid, recipe, device)
    on_test = _predicted("test", network, test, recipe, device)
    figures = [
        evaluate(part.dataset, part.logits, part.labels, {}, resamples=resamples) for part in (on_valid, on_test)
    ]
    decided = decide_findings(
        [on_valid],
        [on_test],
        held_out_qualities(figures[1:]),
        {name: "untrained" for name in FINDING_NAMES if name not in release.trained},
        release.provenance.derived,
    )
    on_valid_figures, on_test_figures = figures[0], with_qualities(figures[1], decided.records)
    on_test_figures = replace(on_test_figures, subgroups=subgroups(on_test.logits, test.films))

    limit = display_limit(network, valid, recipe.batch_images, device)
    cases = examples(network.cpu(), _EXAMPLE_FINDING, limit)
    description = _description(recipe, release, decided, (on_valid_figures, on_test_figures), limit)
    reference = reference_of(network, valid, "validation", served_columns(description), device)
    description = description.model_copy(update={"reference": reference})
    measured = Measured(
        on_valid_figures, on_test_figures, decided, resamples, release.left_out, cases, release.experiments
    )
    card = model_card(description, release.provenance, measured)
    artifact.save(directory, network, description, card, _pictures(cases, on_test))
    return Published(directory, on_valid_figures, on_test_figures, decided)


@torch.inference_mode()
def display_limit(network: PatchNet, data: FilmDataset, batch_images: int, device: str) -> float:
    """Symmetric limit of the overlay's colour scale, in logits: the 99th percentile of the size of patch logits."""
    network.eval()
    outputs = [
        network.patch_logits(images.to(device).float() / 255).cpu().numpy()
        for images, _ in DataLoader(data, batch_images)
    ]
    return limit_of(np.concatenate(outputs)) or _SMALLEST_LIMIT


def limit_of(patch_logits: NDArray[np.float32]) -> float:
    """The 99th percentile of the size of patch logits, to one decimal place."""
    return round(float(np.quantile(np.abs(patch_logits), _LIMIT_QUANTILE)), 1)


def _calibrate(network: PatchNet, recipe: Recipe, valid: FilmDataset, device: str) -> None:
    logits = predict_logits(network, valid, recipe.batch_images, device)
    slopes, intercepts = fit_platt(logits, valid.films.labels.double().numpy())
    fold(head_of(recipe.backbone, network.backbone), slopes, intercepts)


def _predicted(dataset: str, network: PatchNet, data: FilmDataset, recipe: Recipe, device: str) -> Predicted:
    logits = predict_logits(network, data, recipe.batch_images, device)
    return Predicted(dataset, logits, data.films.labels.double().numpy())


def _description(
    recipe: Recipe, release: Release, decided: Decided, figures: tuple[Evaluation, Evaluation], limit: float
) -> Description:
    valid, test = figures
    metrics = {
        "valid.auroc.mean": valid.mean_auroc,
        "test.auroc.mean": test.mean_auroc,
        "test.calibration_error.mean": test.mean_calibration_error,
    }
    return Description(
        name=recipe.name,
        version=release.version,
        backbone=recipe.backbone,
        image_size=recipe.image_size,
        patch_size=recipe.patch_size,
        findings=decided.records,
        default_operating_point=decided.default,
        display_limit=limit,
        intended_use=release.provenance.intended_use,
        training_data=release.provenance.training_data,
        attribution=release.provenance.attribution,
        licence=release.provenance.licence,
        created=datetime.now(UTC).replace(microsecond=0),
        recipe=recipe.model_dump(mode="json"),
        metrics={name: value for name, value in metrics.items() if not np.isnan(value)} | decided.metrics,
    )


def _pictures(cases: Sequence[Example], test: Predicted) -> dict[str, bytes]:
    pictures = {picture_name(case): case.picture for case in cases}
    return pictures | {RELIABILITY: reliability_plot(test.probabilities, test.labels)}
