"""The comparison, from films and boxes to the report."""

import csv
import json
import pickle
import re
from dataclasses import replace
from shutil import copytree

import numpy as np
import pytest

from app.errors import ConfigurationError
from app.patchnet import artifact
from app.patchnet.findings import FINDING_NAMES
from tests.artifacts import save_small_artifact
from training import commands
from training.compare.annotations import read_chexlocalize
from training.compare.comparison import compare, export_method
from training.compare.localization import THRESHOLDS, hit, iou, place_square
from training.compare.measured import Measured, summarize
from training.compare.measured import measure as measure_films
from training.compare.report import write_comparison
from training.compare.setting import Setting, Split
from training.compare.shortcut import COLUMN, Marked, measure, taught
from training.data.datasets import FilmDataset, read_films
from training.saliency_methods import Occluded, PatchEvidence

pytestmark = pytest.mark.timeout(1800)  # the fixture runs a whole comparison

BACKBONE = "efficientnet_lite0"


def make_artefact(folder, name, patch_size):
    return artifact.load(save_small_artifact(folder, name, patch_size, BACKBONE, patch_size))


def write_boxes(folder, split, count):
    with (folder / f"{split}_boxes.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["Path", "Finding", "x", "y", "width", "height"])
        for index in range(1, count, 2):
            writer.writerow([f"{split}/{index}.png", "Edema", 0.1, 0.2, 0.5, 0.25])
            writer.writerow([f"{split}/{index}.png", "Effusion", 0.6, 0.5, 0.3, 0.4])
    return Split(folder / f"{split}.csv", folder / f"{split}_boxes.csv")


@pytest.fixture(scope="module")
def setting(small_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("comparison")
    return Setting(
        make_artefact(folder, "patch", 64),
        make_artefact(folder, "image", 128),
        write_boxes(small_data, "valid", 8),
        write_boxes(small_data, "test", 8),
        folder / "work",
        small_data / "train.csv",
        resamples=50,
        pairs=4,
    )


@pytest.fixture(scope="module")
def comparison(setting):
    return compare(setting)


@pytest.mark.thorough
def test_every_method_has_every_figure(comparison):
    methods = set(comparison.localization)
    assert methods == set(comparison.faithfulness)
    assert {"patch grid", "Grad-CAM", "integrated gradients", "occlusion", "random", "centre", "ProtoPNet"} < methods
    for figures in comparison.localization.values():
        assert set(figures.hit_rate) == {"Edema", "Pleural Effusion", "mean"}
        mean = figures.hit_rate["mean"]
        assert mean.low <= mean.value <= mean.high
    explained = {name for name in methods if comparison.localization[name].network in {"patch", "image"}}
    assert set(comparison.shortcuts) == explained
    assert {"patch probability, smoothed", "Grad-CAM, smoothed"} < explained


@pytest.mark.thorough
def test_a_second_call_measures_no_film_again(setting, comparison, monkeypatch):
    def fail(*_):
        raise AssertionError("measured again")

    monkeypatch.setattr("training.compare.measured._film", fail)
    (cache,) = setting.work.glob("maps-patch-*")
    found = measure_films(PatchEvidence(setting.patch.network), setting.test.annotated(), 128, cache / "test")
    hits = comparison.localization["patch grid"].hit_rate
    edema = found["patch grid"].hits[:, FINDING_NAMES.index("Edema")]
    assert np.nanmean(edema) == hits["Edema"].value


@pytest.fixture(scope="module")
def written(setting, comparison, tmp_path_factory):
    """The page of a report, in its folder."""
    return write_comparison(comparison, setting, tmp_path_factory.mktemp("report"))


@pytest.mark.thorough
def test_the_report_opens_offline_and_has_every_number(written, comparison):
    page, content = written.read_text(), json.loads((written.parent / "report.json").read_text())
    assert set(content["localization"]) == set(comparison.localization)
    value = comparison.localization["patch grid"].hit_rate["Edema"].value
    assert content["localization"]["patch grid"]["hit_rate"]["Edema"]["value"] == pytest.approx(value)
    assert f"{value:.3f} (" in page
    assert page.count("data:image/png;base64,") == 6
    assert not re.findall(r"""(?:src|href)=["'](?!data:)""", page)


@pytest.mark.thorough
def test_the_figures_go_into_a_model_card_once(setting, comparison, written, tmp_path):
    directory = tmp_path / "artifact"
    copytree(setting.patch.directory, directory)
    (directory / artifact.CARD).write_text("# card\n\n## On a film that anyone can install\n")
    for _ in range(2):
        card = commands.cite(written.parent / "report.json", str(directory)).read_text()
    assert card.count("## Compared with other methods") == card.count("## On a film") == 1
    hits = comparison.localization["Grad-CAM"].hit_rate["mean"]
    assert f"| Grad-CAM | image | {hits.value:.3f} ({hits.low:.3f}-{hits.high:.3f}) |" in card
    assert set(comparison.contests) == {"as made", "smoothed"}
    for contest in comparison.contests.values():
        assert f"({contest.patch}) over best post-hoc map ({contest.post_hoc})" in card
        assert f"**{contest.hit_ratio.value:.2f}" in card
    assert "on 4 test radiographs" in card
    (tmp_path / "report.json").write_text("{}")
    with pytest.raises(ConfigurationError, match="not a report"):
        commands.cite(tmp_path / "report.json", str(directory))
    (directory / artifact.CARD).write_text("# another\n")
    with pytest.raises(ConfigurationError, match="not a model card"):
        commands.cite(written.parent / "report.json", str(directory))


def test_films_called_positive_in_vain_and_missed_films_count_nothing(setting):
    """By hand: one marked film found (IoU 0.5), one missed, one false alarm, the rest true negatives."""
    data = setting.test.annotated()
    column = FINDING_NAMES.index("Edema")
    absent = [index for index in range(len(data.films)) if data.absent(index, "Edema")]
    marked = [index for index in range(len(data.films)) if "Edema" in data.marked(index)][:2]
    films = replace(
        data, films=data.films.where([*marked, *absent]), keys=tuple(data.keys[i] for i in [*marked, *absent])
    )
    shape = (len(films.films), 14)
    decided = np.zeros(shape, dtype=bool)
    decided[[0, 2], column] = True
    figures = figures_with(shape, column, hits=[1.0, 0.0], iou=0.5)
    found = summarize("patch", figures, figures, films, decided, resamples=20)
    assert found.miou["Edema"].value == pytest.approx(0.5 / 3)
    assert found.miou_true_positives["Edema"].value == pytest.approx(0.5)
    assert found.hit_rate["Edema"].value == pytest.approx(0.5)


def figures_with(shape, column, hits, iou):
    values = np.full(shape, np.nan)
    values[:2, column] = hits
    curves = np.full((*shape, len(THRESHOLDS)), np.nan)
    curves[:2, column] = iou
    return Measured(values, values, values, curves)


def test_films_without_marks_are_refused(setting, tmp_path):
    (tmp_path / "boxes.csv").write_text("Path,Finding,x,y,width,height\n")
    with pytest.raises(ConfigurationError, match="marks nothing"):
        Split(setting.test.films, tmp_path / "boxes.csv").annotated()


@pytest.mark.thorough
def test_patch_evidence_shows_a_planted_marker(small_data, setting):
    """A network that was taught the marker reads it, and the patch with it is the evidence."""
    films = read_films(small_data / "train.csv")
    network = setting.patch.network
    student = taught(network, BACKBONE, Marked(FilmDataset(films, 128), seed=1))
    shown = Marked(FilmDataset(read_films(small_data / "test.csv"), 128), seed=2)
    assert shown.labels[:, COLUMN].unique().tolist() == [0.0, 1.0]
    found = measure(student, shown, lambda given: PatchEvidence(given, offsets=(32,), strides=()))
    assert found["patch grid"].auroc > 0.9
    assert found["patch grid"].hits == 1.0
    blind = measure(network, shown, lambda given: Occluded(given, window=32, stride=32))
    assert blind["occlusion"].hits < 1.0


@pytest.mark.thorough
def test_exports_can_be_scored_as_chexlocalize_scores_them(setting, comparison, tmp_path):
    """The written masks and maps give the figures of the report."""
    name = "patch, offset 16"
    export_method(setting, comparison, name, tmp_path)
    test, column = setting.test.annotated(), FINDING_NAMES.index("Edema")
    written = read_chexlocalize(tmp_path / "segmentations.json")
    hits, found = [], []
    for index in range(len(test.films)):
        truth = test.annotations.mask(test.keys[index], "Edema")
        if truth is None:
            continue
        with (tmp_path / f"{test.keys[index].replace('/', '_')}_Edema_map.pkl").open("rb") as file:
            content = pickle.load(file)
        hits.append(hit(place_square(content["map"][0, 0].numpy(), truth.shape), truth))
        mask = written.mask(test.keys[index], "Edema")
        called = content["prob"] >= 0.5
        assert (mask is not None) == called
        if mask is not None:
            found.append(iou(mask, truth))
        assert (content["task"], content["gt"]) == ("Edema", test.films.labels[index, column].item())
    figures = comparison.localization[name]
    assert np.mean(hits) == pytest.approx(figures.hit_rate["Edema"].value)
    if found:
        assert np.mean(found) == pytest.approx(figures.miou_true_positives["Edema"].value, abs=1e-6)
    with pytest.raises(ConfigurationError, match="no such method"):
        export_method(setting, comparison, "crystal ball", tmp_path)


def test_evaluate_adds_localisation_for_boxes(setting):
    figures = commands.evaluate(str(setting.patch.directory), setting.test.films, setting.test.annotations, 20, "cpu")
    content = json.loads(json.dumps(figures.as_json()))
    assert 0 <= content["localization"]["patch grid"]["hit_rate"]["Edema"]["value"] <= 1
    without = commands.evaluate(str(setting.patch.directory), setting.test.films, None, 20, "cpu")
    assert "localization" not in without.as_json()
