"""The commands: they read recipes and data, run one part of ``training``, and write results."""

import csv
import zlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import torch

from app.errors import ConfigurationError
from app.patchnet import artifact
from app.patchnet.checkpoint import ImportedWeights
from app.patchnet.checkpoint import import_checkpoint as write_imported
from app.patchnet.manifest import Manifest, Reference
from training.acceptance.adopted import Adopted
from training.acceptance.adopted import adopt as write_adopted
from training.acceptance.drift import drift, local_reference
from training.acceptance.gallery import worst_films
from training.acceptance.judged import judge
from training.acceptance.observed import observe
from training.acceptance.report import Acceptance, read_report, write_report
from training.compare.comparison import compare as measure_comparison
from training.compare.comparison import export_method
from training.compare.measured import localize
from training.compare.report import write_comparison
from training.compare.setting import Setting, Split
from training.data.datasets import FilmDataset, Films, read_films
from training.data.description import (
    BY_LAYOUT,
    DatasetDescription,
    descriptions_beside,
    read_description,
    write_description,
)
from training.data.layouts import WITH_LABELS
from training.data.local import dicom, read_local
from training.data.prepare import Prepared
from training.data.prepare import prepare as write_films
from training.data.split import split as write_splits
from training.files import cached
from training.fit.experiment import Experiment, run, trained_network, validation_films
from training.fit.leave_out import leave_one_out, overall, read_figures
from training.measure import served_precision as measured
from training.measure.drift_reference import reference_of, served_columns
from training.measure.evaluation import Evaluation, by_class
from training.measure.evaluation import evaluate as evaluate_logits
from training.measure.findings import Decided, decide_findings, held_out_qualities
from training.measure.inference import Predicted, predict_logits
from training.measure.subgroups import subgroups
from training.publish.artifact import Published, Release, trained_findings
from training.publish.artifact import publish as write_artifact
from training.publish.comparison_section import cite as write_section
from training.publish.decisions_section import with_decisions
from training.publish.provenance import provenance
from training.publish.serving_section import with_serving
from training.recipe import Recipe, read_recipe
from training.saliency_methods import PatchEvidence

MODELS = Path(__file__).resolve().parent.parent / "models"
_BATCH_IMAGES = 8
_EXPERIMENTS_HEADER = ["date", "what", "valid mean AUROC", "cost (2 cores)"]


def prepare(layout: str, source: Path, labels: Path | None, out: Path, image_size: int, workers: int) -> Prepared:
    """Write square radiographs and CSV files of a data set; ``layout`` is a key of ``WITH_LABELS`` or ``dicom``."""
    if layout == "dicom":
        films = dicom(source, labels)
    elif layout not in WITH_LABELS:
        raise ConfigurationError(f"no such layout: '{layout}'; known are: {', '.join((*WITH_LABELS, 'dicom'))}")
    elif labels is None:
        raise ConfigurationError(f"the layout '{layout}' needs --labels")
    else:
        films = WITH_LABELS[layout](source, labels)
    done = write_films(films, out, image_size, workers)
    return replace(done, description=write_description(BY_LAYOUT[layout], out))


def split(films: Path, out: Path, shares: tuple[float, float], seed: int) -> dict[str, int]:
    """Divide the radiographs of a CSV file by patient; ``shares`` are those of validation and test."""
    valid, test = shares
    return write_splits(films, out, {"valid": valid, "test": test}, seed)


def read_experiment(config: Path, root: Path, work: Path, device: str) -> Experiment:
    """The experiment of a recipe file and, in subfolders of ``work``, those of its teachers, whose files are beside it.

    Raises ConfigurationError where a recipe cannot be read.
    """
    recipe = read_recipe(config)
    names = recipe.distillation.teachers if recipe.distillation else ()
    teachers = tuple(read_experiment(config.parent / name, root, work / Path(name).stem, device) for name in names)
    return Experiment(recipe, root, work, device, teachers)


def train(config: Path, root: Path, work: Path, device: str) -> None:
    """Train by a recipe, from the start or from the last checkpoint in ``work``; in all processes of torchrun."""
    run(read_experiment(config, root, work, device))


def leave_out(config: Path, root: Path, work: Path, column: str, device: str) -> dict[str, object]:
    """Figures for every value of a column, of models trained without it, and their mean."""
    figures = leave_one_out(read_experiment(config, root, work, device), column)
    return {"auroc": overall(figures), **{value: group.as_json() for value, group in figures.items()}}


def measure_run(config: Path, root: Path, work: Path, resamples: int, device: str) -> dict[str, object]:
    """AUROC and average precision of a run's best weights on its validation radiographs, by class and as a mean."""
    experiment = read_experiment(config, root, work, device)
    recipe = experiment.recipe
    films = validation_films(experiment)
    data = FilmDataset(films, recipe.image_size)
    logits = predict_logits(trained_network(experiment).to(device), data, recipe.batch_images, device)
    return by_class(logits, films, resamples)


def publish(config: Path, root: Path, work: Path, out: Path, version: str, device: str) -> Published:
    """Write an artifact with the best weights in ``work``."""
    experiment = read_experiment(config, root, work, device)
    recipe = experiment.recipe
    if recipe.data.layout != "films":
        raise ConfigurationError(f"{config} learns other classes than the 14 findings; an artifact has those")
    if recipe.data.test is None:
        raise ConfigurationError(f"{config} names no test films; an artifact is published with measured quality")
    valid = FilmDataset(read_films(root / recipe.data.valid), recipe.image_size)
    test = FilmDataset(read_films(root / recipe.data.test), recipe.image_size)
    train = [read_films(root / name) for name in recipe.data.train]
    release = Release(
        version=version,
        provenance=provenance(recipe, sum(len(films) for films in train), _descriptions(config, recipe, root)),
        trained=trained_findings(train),
        left_out=read_figures(work),
        experiments=_experiments(config.with_suffix(".csv")),
    )
    return write_artifact(trained_network(experiment), recipe, valid, test, out, release, device=device)


def operating_points(
    name_or_dir: str,
    valid: Sequence[Path],
    test: Sequence[Path],
    descriptions: Sequence[Path],
    work: Path | None,
    device: str,
    resamples: int = 10_000,
) -> Decided:
    """Measure operating points on ``valid``, quality and statuses on ``test``, and amend manifest and card.

    The first file of each kind has natural prevalence: it chooses the default operating point. A finding uses the first
    file with enough radiographs of both classes; without one in ``test`` the manifest's quality stays. Derived findings
    are those of ``descriptions``, by default the ones beside the files. ``work`` caches logits.
    """
    loaded = artifact.load(artifact.find(name_or_dir, MODELS))
    on_valid, on_test = ([_predict(loaded, path, work, device) for path in paths] for paths in (valid, test))
    figures = [evaluate_logits(part.dataset, part.logits, part.labels, {}, resamples=resamples) for part in on_test]
    described = [read_description(path) for path in descriptions] or descriptions_beside([*valid, *test])
    manifest = artifact.read_manifest(loaded.directory)
    before = {record.name: record for record in manifest.findings}
    earlier = {name: record.quality for name, record in before.items() if record.quality is not None}
    decided = decide_findings(
        on_valid,
        on_test,
        held_out_qualities(figures, earlier),
        {name: record.status for name, record in before.items() if record.status in {"untrained", "imported"}},
        {name for part in described for name in part.derived}
        | {name for name, record in before.items() if record.status == "derived"},
    )
    update = {"findings": decided.records, "default_operating_point": decided.default}
    manifest = manifest.model_copy(update={**update, "metrics": manifest.metrics | decided.metrics})
    artifact.amend(loaded.directory, manifest, with_decisions(_card(loaded.directory), decided))
    return decided


def evaluate(name_or_dir: str, csv_file: Path, boxes: Path | None, resamples: int, device: str) -> Evaluation:
    """Figures of an artifact on the radiographs of a CSV file, at the artifact's own thresholds.

    With annotations (``boxes``: a CSV, or CheXlocalize's JSON) also the localisation of its patch maps.
    """
    loaded = artifact.load(artifact.find(name_or_dir, MODELS))
    films = FilmDataset(without_untrained(read_films(csv_file), loaded.manifest), loaded.manifest.image_size)
    logits = predict_logits(loaded.network.to(device), films, _BATCH_IMAGES, device)
    thresholds = loaded.manifest.thresholds
    figures = evaluate_logits(
        csv_file.stem, logits, films.films.labels.double().numpy(), thresholds, resamples=resamples
    )
    figures = replace(figures, subgroups=subgroups(logits, films.films))
    if boxes is None:
        return figures
    explainer, size = PatchEvidence(loaded.network.cpu()), loaded.manifest.image_size
    return replace(figures, localization=localize(explainer, Split(csv_file, boxes).annotated(), size, resamples))


def reference(name_or_dir: str, csv_file: Path, device: str) -> Reference:
    """Measure the distribution of an artifact's outputs on radiographs, and write it into its manifest."""
    loaded = artifact.load(artifact.find(name_or_dir, MODELS))
    films = FilmDataset(read_films(csv_file), loaded.manifest.image_size)
    found = reference_of(loaded.network, films, csv_file.stem, served_columns(loaded.manifest), device)
    artifact.amend(loaded.directory, loaded.manifest.model_copy(update={"reference": found}))
    return found


def serving(name_or_dir: str, csv_file: Path, films: int, window: int | None, work: Path, device: str) -> Manifest:
    """Measure reduced precision on the radiographs of a CSV file, and strided maps on ``films`` of them, evenly chosen.

    Writes both into the artifact's manifest and card. With 0 ``films`` the existing figures of strides stay.
    """
    loaded = artifact.load(artifact.find(name_or_dir, MODELS))
    data = FilmDataset(without_untrained(read_films(csv_file), loaded.manifest), loaded.manifest.image_size)
    on, dataset = loaded.network, csv_file.stem
    figures: dict[str, object] = {}
    if films:
        chosen = sorted(data.films.paths)[:: max(1, len(data) // films)][:films]
        figures["strides"] = measured.strides(on, loaded.manifest, chosen, dataset, device, work, window)
    figures["precisions"] = measured.precisions(on, loaded.manifest, data, dataset, device)
    manifest = artifact.read_manifest(loaded.directory).model_copy(
        update=figures
    )  # another command can have changed it meanwhile
    artifact.amend(loaded.directory, manifest, with_serving(_card(loaded.directory), manifest))
    return manifest


def compare(
    models: tuple[str, str],
    train: Path | None,
    valid: tuple[Path, Path],
    test: tuple[Path, Path],
    out: Path,
    resamples: int,
    pairs: int,
    exports: Sequence[str] = (),
) -> Path:
    """Compare a patch model and its image-level twin on annotated radiographs; returns the page of the report.

    With training radiographs (``train``), ProtoPNet and PIPNet are fitted and compared too. ``exports`` names methods
    whose maps and segmentations of the test radiographs are written in the formats of CheXlocalize's evaluation.
    """
    patch, image = (artifact.load(artifact.find(name, MODELS)) for name in models)
    for loaded in (patch, image):
        loaded.network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue] - missing overload
    setting = Setting(patch, image, Split(*valid), Split(*test), out / "work", train, resamples, pairs)
    comparison = measure_comparison(setting)
    for name in exports:
        export_method(setting, comparison, name, out / "chexlocalize" / name.replace(", ", "-").replace(" ", "-"))
    return write_comparison(comparison, setting, out)


def validate(
    name_or_dir: str, data: Path, labels: Path | None, out: Path, resamples: int, device: str, *, gallery: bool
) -> tuple[Acceptance, Path]:
    """Judge an artifact on a site's radiographs, and write the report; returns the judgement and the page."""
    directory = artifact.find(name_or_dir, MODELS)
    loaded = artifact.load(directory)
    manifest = loaded.manifest
    observed, films, refused = observe(loaded.network, read_local(data, labels), device)
    dataset = "/".join((data.resolve().parent.name, data.stem))
    acceptance = Acceptance(
        manifest=manifest,
        model_dir=directory.resolve(),
        dataset=dataset,
        data=str(data),
        at=datetime.now(UTC).replace(microsecond=0),
        fingerprint=observed.fingerprint,
        films=len(films),
        refused=refused,
        findings=judge(observed, manifest, dataset, resamples),
        subgroups=subgroups(observed.logits, without_untrained(films, manifest)),
        drift=drift(local_reference(observed, manifest, dataset), manifest),
    )
    worst = worst_films(observed, films, manifest) if gallery else []
    return acceptance, write_report(acceptance, observed, worst, out)


def adopt(report: Path, out: Path, version: str) -> Adopted:
    """Write a new artifact from the report of a judged one."""
    return write_adopted(read_report(report), out, version, "python -m training adopt")


def cite(report: Path, name_or_dir: str) -> Path:
    """Write a comparison's figures into the model card of an artifact; returns the card."""
    card = artifact.find(name_or_dir, MODELS) / artifact.CARD
    write_section(report, card)
    return card


def without_untrained(films: Films, manifest: Manifest) -> Films:
    """The radiographs with unknown labels of untrained findings, which are not served and so not measured."""
    untrained = torch.tensor([record.status == "untrained" for record in manifest.findings])
    return replace(films, labels=films.labels.masked_fill(untrained, float("nan")))


def import_checkpoint(weights: Path, out: Path, backbone: str, patch_size: int) -> None:
    """Write an artifact with the weights of the paper's authors, without any claim about its quality."""
    about = ImportedWeights(
        name=out.resolve().name.lower(),
        source=weights.name,
        command="python -m training import",
        backbone=backbone,
        patch_size=patch_size,
    )
    write_imported(weights, out, about)


def _predict(loaded: artifact.Artifact, csv_file: Path, work: Path | None, device: str) -> Predicted:
    """Logits of an artifact on a CSV file, from the cache where it has them."""
    data = FilmDataset(read_films(csv_file), loaded.manifest.image_size)
    dataset = "/".join((csv_file.resolve().parent.name, csv_file.stem))
    measure_logits = partial(predict_logits, loaded.network.to(device), data, _BATCH_IMAGES, device)
    if work is None:
        logits = measure_logits()
    else:
        weights, rows = loaded.manifest.weights_sha256[:12], zlib.crc32(csv_file.read_bytes())
        logits = cached(work / f"logits-{weights}-{rows:08x}.pt", measure_logits)
    return Predicted(dataset, logits, data.films.labels.double().numpy())


def _card(directory: Path) -> str:
    """The model card of an artifact; empty without one."""
    path = directory / artifact.CARD
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _descriptions(config: Path, recipe: Recipe, root: Path) -> tuple[DatasetDescription, ...]:
    """The descriptions that a recipe names, else those beside its CSV files."""
    if recipe.data.descriptions:
        return tuple(read_description(config.parent / name) for name in recipe.data.descriptions)
    names = [*recipe.data.train, recipe.data.valid, *([recipe.data.test] if recipe.data.test else [])]
    return descriptions_beside(root / name for name in names)


def _experiments(path: Path) -> list[list[str]]:
    """The table of a recipe's experiments, header first, from the CSV file of its name; header alone without one."""
    if not path.exists():
        return [_EXPERIMENTS_HEADER]
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))
