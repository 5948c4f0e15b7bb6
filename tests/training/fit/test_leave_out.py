"""Measuring on films of a kind that was left out of training."""

import csv
import json

import pytest
import yaml

from app.errors import ConfigurationError
from training.commands import read_experiment
from training.data.datasets import read_films
from training.fit.experiment import Experiment
from training.fit.leave_out import leave_one_out, overall
from training.measure.subgroups import Subgroup


@pytest.fixture
def experiment(small_data, recipe, tmp_path):
    return Experiment(recipe.model_copy(update={"epochs": 0}), small_data, tmp_path / "work", "cpu")


def test_films_without_a_value(small_data):
    films = read_films(small_data / "train.csv")
    kept = films.without("Sex", "Male")
    assert 0 < len(kept) < len(films)
    assert set(kept.columns["Sex"]) == {"Female"}
    assert len(films.without("Vendor", "Any")) == len(films)


def test_the_patients_of_films_left_out_are_left_out_of_files_that_do_not_know_the_value(
    experiment, small_data, tmp_path, monkeypatch
):
    """A coarse copy of the films, named by patient, as a second training file and as the teacher's only one."""
    (tmp_path / "data").mkdir()
    for name in ("train", "valid", "coarse"):
        with (small_data / f"{'valid' if name == 'valid' else 'train'}.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        for number, row in enumerate(rows):
            row["Path"] = str(small_data / row["Path"])
            row["Patient"] = f"{number if name == 'coarse' else f'{number:05d}'}"
            if name == "valid":
                row["Patient"] = str(1000 + number)
            if name == "coarse":
                del row["Sex"]
        with (tmp_path / "data" / f"{name}.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    recipe = experiment.recipe.model_dump(mode="json")
    teacher = recipe | {"name": "teacher", "data": recipe["data"] | {"train": ["coarse.csv"]}}
    student = recipe | {"data": recipe["data"] | {"train": ["train.csv", "coarse.csv"]}}
    student["distillation"] = {"teachers": ["teacher.yaml"]}
    (tmp_path / "teacher.yaml").write_text(yaml.safe_dump(teacher))
    (tmp_path / "student.yaml").write_text(yaml.safe_dump(student))
    seen = []

    def fit_head(network, backbone, data, penalty):
        seen.append({int(patient or 0) for part in data.datasets for patient in part.films.patients})

    monkeypatch.setattr("training.fit.experiment.fit_head", fit_head)
    monkeypatch.setattr("training.measure.subgroups._LEAST_FILMS_OF_A_CLASS", 1)
    leave_one_out(read_experiment(tmp_path / "student.yaml", tmp_path / "data", tmp_path / "work", "cpu"), "Sex")
    women = {number for number in range(20) if number % 3}
    assert seen == [set(range(20)) - women] * 2 + [women] * 2


def test_a_value_is_measured_by_a_network_that_never_saw_it(experiment, monkeypatch):
    seen = []

    def fit_head(network, backbone, data, penalty):
        seen.append({sex for part in data.datasets for sex in part.films.columns["Sex"]})

    monkeypatch.setattr("training.fit.experiment.fit_head", fit_head)
    monkeypatch.setattr("training.measure.subgroups._LEAST_FILMS_OF_A_CLASS", 1)
    figures = leave_one_out(experiment, "Sex")
    assert seen == [{"Male"}, {"Female"}]
    assert sorted(figures) == ["Female", "Male"]
    assert sum(group.films for group in figures.values()) == 12
    written = json.loads((experiment.work / "leave_out.json").read_text())
    assert written == {value: group.as_json() for value, group in figures.items()}


def test_an_unknown_column_is_refused(experiment):
    with pytest.raises(ConfigurationError, match="no column 'Vendor'"):
        leave_one_out(experiment, "Vendor")


def test_too_few_films_are_refused(experiment):
    with pytest.raises(ConfigurationError, match="films of both classes"):
        leave_one_out(experiment, "Collection")


def test_one_figure_counts_films():
    assert overall({"A": Subgroup(30, 5, 0.6), "B": Subgroup(10, 5, 0.8)}) == pytest.approx(0.65)
