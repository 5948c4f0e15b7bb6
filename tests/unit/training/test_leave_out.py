"""Measuring on films of a kind that was left out of training."""

import json

import pytest
import yaml

from app.errors import ConfigurationError
from training.datasets import read_films
from training.experiment import Experiment
from training.leave_out import leave_one_out, overall
from training.subgroups import Subgroup


@pytest.fixture
def experiment(small_data, recipe, tmp_path):
    config = tmp_path / "recipe.yaml"
    config.write_text(yaml.safe_dump(recipe.model_copy(update={"epochs": 0}).model_dump(mode="json")))
    return Experiment(config, small_data, tmp_path / "work", "cpu")


def test_films_without_a_value(small_data):
    films = read_films(small_data / "train.csv")
    kept = films.without("Sex", "Male")
    assert 0 < len(kept) < len(films)
    assert set(kept.columns["Sex"]) == {"Female"}
    assert len(films.without("Vendor", "Any")) == len(films)


def test_a_value_is_measured_by_a_network_that_never_saw_it(experiment, monkeypatch):
    seen = []

    def fit_head(network, backbone, data, penalty):
        seen.append(set(data.films.columns["Sex"]))

    monkeypatch.setattr("training.experiment.fit_head", fit_head)
    monkeypatch.setattr("training.subgroups._LEAST_FILMS_OF_A_CLASS", 1)
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
