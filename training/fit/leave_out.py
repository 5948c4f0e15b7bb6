"""Leave-one-out evaluation: train without one value of a column (a collection, a site), measure on it.

The difference from an ordinary run shows how much a recipe learns the origin of radiographs instead of the findings.
"""

import json
from pathlib import Path

from app.errors import ConfigurationError
from training.data.datasets import FilmDataset, Films, read_films
from training.fit.experiment import Experiment, LeftOut, run, trained_network
from training.measure.inference import predict_logits
from training.measure.subgroups import Subgroup, measure

RESULT = "leave_out.json"
_BATCH_IMAGES = 8


def leave_one_out(experiment: Experiment, column: str) -> dict[str, Subgroup]:
    """Figures on the validation radiographs of every value of a column, of models trained without that value.

    The radiographs left out, and all others of their patients, in any file and in the teachers, are used neither for
    training nor for choosing weights. Each model is written to ``work/without-VALUE``, the figures to
    ``work/leave_out.json``; finished work is not repeated. Values without enough validation radiographs of both classes
    are not reported. Raises ConfigurationError where nothing can be measured.
    """
    recipe = experiment.recipe
    valid = read_films(experiment.root / recipe.data.valid)
    if column not in valid.columns:
        raise ConfigurationError(f"{recipe.data.valid} has no column '{column}'")
    figures: dict[str, Subgroup] = {}
    for value in sorted(set(valid.columns[column]) - {""}):
        members = valid.with_value(column, value)
        if group := _measure_without(experiment, column, value, members):
            figures[value] = group
    if not figures:
        raise ConfigurationError(f"no value of '{column}' has enough validation films of both classes")
    _write(figures, experiment.work / RESULT)
    return figures


def overall(figures: dict[str, Subgroup]) -> float:
    """The mean AUROC over the values, weighted by their numbers of radiographs."""
    films = sum(group.films for group in figures.values())
    return sum(group.mean_auroc * group.films for group in figures.values()) / films


def read_figures(work: Path) -> dict[str, Subgroup]:
    """The figures that ``leave_one_out`` wrote to ``work``; empty if it did not run there."""
    path = work / RESULT
    if not path.exists():
        return {}
    content = json.loads(path.read_text(encoding="utf-8"))
    return {value: Subgroup(group["films"], group["findings"], group["auroc"]) for value, group in content.items()}


def _measure_without(experiment: Experiment, column: str, value: str, members: Films) -> Subgroup | None:
    names = experiment.recipe.data.train
    gone = [read_films(experiment.root / name).with_value(column, value) for name in names]
    patients = frozenset(patient for films in (*gone, members) for patient in films.patients if patient)
    part = experiment.without(LeftOut(column, value, patients), experiment.work / f"without-{value}")
    run(part)
    data = FilmDataset(members, experiment.recipe.image_size)
    logits = predict_logits(trained_network(part), data, _BATCH_IMAGES, experiment.device)
    return measure(logits, members.labels.double().numpy())


def _write(figures: dict[str, Subgroup], path: Path) -> None:
    content = {value: group.as_json() for value, group in figures.items()}
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
