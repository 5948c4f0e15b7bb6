import json
from pathlib import Path

import numpy as np
import pytest
import torch

from app.patchnet.findings import FINDING_NAMES
from training.data.datasets import Films
from training.data.label_sets import ELEVEN
from training.measure.evaluation import evaluate, evaluation_table
from training.measure.metrics import auroc
from training.measure.subgroups import age_band, subgroups

FILMS = 60


@pytest.fixture
def labels():
    labels = np.random.default_rng(1).integers(0, 2, (FILMS, 14)).astype(float)
    labels[:, FINDING_NAMES.index("Fracture")] = np.nan
    return labels


@pytest.fixture
def logits(labels):
    return np.random.default_rng(2).normal(size=labels.shape) + np.nan_to_num(labels)


def films(labels, **columns):
    return Films(tuple(Path(str(index)) for index in range(FILMS)), torch.tensor(labels).float(), columns)


def test_figures_are_given_by_finding_and_as_means_over_the_eleven(logits, labels):
    figures = json.loads(json.dumps(evaluate("made", logits, labels, {"Edema": 0.5}, resamples=50).as_json()))
    edema = FINDING_NAMES.index("Edema")
    assert figures["auroc"]["Edema"] == pytest.approx(auroc(logits[:, edema], labels[:, edema]))
    assert figures["auroc"]["mean"] == pytest.approx(np.mean([figures["auroc"][name] for name in ELEVEN]))
    assert "Fracture" not in figures["auroc"]
    low, high = figures["auroc_interval"]["mean"]
    assert low < figures["auroc"]["mean"] < high


def test_decisions_are_given_where_there_is_a_threshold(logits, labels):
    figures = evaluate("made", logits, labels, {"Edema": 0.5}, resamples=50).as_json()
    edema = FINDING_NAMES.index("Edema")
    assert figures["accuracy"]["Edema"] == np.mean((logits[:, edema] >= 0) == labels[:, edema])
    assert figures["sensitivity"]["Pneumonia"] is None
    assert figures["sensitivity"]["mean"] == figures["sensitivity"]["Edema"]


def test_a_subgroup_is_measured_on_its_own_films(logits, labels):
    women = np.arange(FILMS) % 3 == 0
    groups = subgroups(logits, films(labels, Sex=tuple("Female" if woman else "" for woman in women)))
    assert list(groups) == ["Sex"]
    assert list(groups["Sex"]) == ["Female"]
    group = groups["Sex"]["Female"]
    columns = [FINDING_NAMES.index(name) for name in ELEVEN]
    expected = [auroc(logits[women, column], labels[women, column]) for column in columns]
    assert (group.films, group.findings) == (20, 11)
    assert group.mean_auroc == pytest.approx(np.mean(expected))


def test_a_subgroup_without_enough_films_of_a_class_is_not_measured(logits, labels):
    few = tuple("AP" if index < 5 else "PA" for index in range(FILMS))
    assert list(subgroups(logits, films(labels, **{"AP/PA": few}))["AP/PA"]) == ["PA"]
    assert subgroups(logits, films(labels, Age=("",) * FILMS)) == {}


@pytest.mark.parametrize(
    ("age", "band"), [("0", "0-17"), ("17", "0-17"), ("18", "18-39"), ("80", "80-199"), ("411", ""), ("", "")]
)
def test_age_bands_meet_without_overlap(age, band):
    assert age_band(age) == band


def test_the_table_states_how_many_findings_its_mean_is_over(logits, labels):
    known = [name in {"Edema", "Pneumonia", "Support Devices"} for name in FINDING_NAMES]
    few = np.where(known, labels, np.nan)
    table = evaluation_table(evaluate("few", logits, few, {}, resamples=20))
    assert "mean AUROC of 2 findings" in table
    assert "Support Devices" in table
