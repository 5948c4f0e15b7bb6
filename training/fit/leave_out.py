"""Train without one collection of films, measure on it: does a recipe find findings, or know where films come from?"""

import json
from dataclasses import replace
from pathlib import Path

from app.errors import ConfigurationError
from training.data.datasets import FilmDataset, read_films
from training.fit.experiment import Experiment, LeftOut, run, trained_network
from training.measure.inference import predict_logits
from training.measure.subgroups import Subgroup, measure
from training.recipe import read_recipe

RESULT = "leave_out.json"
_BATCH_IMAGES = 8


def leave_one_out(experiment: Experiment, column: str) -> dict[str, Subgroup]:
    """Figures on the validation films of every value of a column, of networks that saw no film of that value.

    The films left out neither train, nor choose the best weights; nor do other films of their patients, which another
    file may hold without that column, in teachers either. Each network goes to ``work/without-VALUE``, the
    figures to ``work/leave_out.json``; what is finished is not done again. Values whose validation films have too few
    films of either class for any finding are left out of the result. Raises ConfigurationError where nothing can be
    measured.
    """
    recipe = read_recipe(experiment.config)
    valid = read_films(experiment.root / recipe.data.valid)
    if column not in valid.columns:
        raise ConfigurationError(f"{recipe.data.valid} has no column '{column}'")
    figures: dict[str, Subgroup] = {}
    for value in sorted(set(valid.columns[column]) - {""}):
        members = valid.with_value(column, value)
        gone = [read_films(experiment.root / name).with_value(column, value) for name in recipe.data.train]
        whose = frozenset(patient for films in (*gone, members) for patient in films.patients if patient)
        left_out = LeftOut(column, value, whose)
        part = replace(experiment, work=experiment.work / f"without-{value}", left_out=left_out)
        run(part)
        data = FilmDataset(members, recipe.image_size)
        logits = predict_logits(trained_network(part), data, _BATCH_IMAGES, experiment.device)
        if group := measure(logits, members.labels.double().numpy()):
            figures[value] = group
    if not figures:
        raise ConfigurationError(f"no value of '{column}' has enough validation films of both classes")
    _write(figures, experiment.work / RESULT)
    return figures


def overall(figures: dict[str, Subgroup]) -> float:
    """One figure: the mean of the values' AUROCs, each counted by its films."""
    films = sum(group.films for group in figures.values())
    return sum(group.mean_auroc * group.films for group in figures.values()) / films


def read_figures(work: Path) -> dict[str, Subgroup]:
    """The figures that ``leave_one_out`` left in ``work``; none where it was not run."""
    path = work / RESULT
    if not path.exists():
        return {}
    content = json.loads(path.read_text(encoding="utf-8"))
    return {value: Subgroup(group["films"], group["findings"], group["auroc"]) for value, group in content.items()}


def _write(figures: dict[str, Subgroup], path: Path) -> None:
    content = {value: group.as_json() for value, group in figures.items()}
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
