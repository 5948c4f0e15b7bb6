import csv
from pathlib import Path
from shutil import copyfile

import numpy as np
import pytest
from PIL import Image
from pydicom.data import get_testdata_file

from app.errors import ConfigurationError
from app.patchnet.findings import FINDING_NAMES
from training import commands
from training.data.datasets import read_film, read_films
from training.data.description import BY_LAYOUT, read_description
from training.data.layouts import SourceFilm, chexpert
from training.data.prepare import make_film, prepare


@pytest.fixture
def source(tmp_path):
    """Two films, one file that is none, and their labels in CheXpert's layout."""
    folder = tmp_path / "source"
    generator = np.random.default_rng(0)
    for index, shape in enumerate(((90, 70), (64, 110))):
        (folder / f"train/patient{index}").mkdir(parents=True)
        pixels = generator.integers(0, 255, shape, dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"train/patient{index}/view1.png")
    (folder / "train/patient0/view2.png").write_text("no film")
    with (folder / "train.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["Path", "Sex", *FINDING_NAMES])
        for name in ("patient0/view1", "patient1/view1", "patient0/view2"):
            writer.writerow([f"train/{name}.png", "Male", "1.0", "", "-1.0", *["0.0"] * 11])
    return folder


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.thorough)])
def test_prepared_films_are_what_the_service_would_see(source, tmp_path, workers):
    out = tmp_path / "out"
    done = prepare(chexpert(source, source / "train.csv"), out, 32, workers)
    films = read_films(out / "train.csv")
    assert (done.films, len(films), done.csv_files) == (2, 2, (out / "train.csv",))
    for path, original in zip(films.paths, ("patient0/view1", "patient1/view1"), strict=True):
        expected = read_film(source / f"train/{original}.png", 32)
        assert (read_film(path, 32) - expected).abs().max() <= 0.5 / 255 + 1e-6
    assert films.columns["Sex"] == ("Male", "Male")
    assert films.labels[0, :4].isnan().tolist() == [False, True, True, False]


def test_a_folder_of_dicom_films_becomes_films_of_unknown_labels(tmp_path):
    chest = Path(str(get_testdata_file("RG1_UNCR.dcm", read=False, download=False)))
    (tmp_path / "source/study").mkdir(parents=True)
    copyfile(chest, tmp_path / "source/study/1.dcm")
    done = commands.prepare("dicom", tmp_path / "source", None, tmp_path / "out", 64, 1)
    films = read_films(tmp_path / "out/films.csv")
    assert (done.films, len(films)) == (1, 1)
    assert read_description(done.description) == BY_LAYOUT["dicom"]
    assert films.labels.isnan().all()
    assert (read_film(films.paths[0], 64) - read_film(chest, 64)).abs().max() <= 0.5 / 255 + 1e-6


def test_a_refused_film_is_named_with_its_reason_and_left_out(source, tmp_path):
    out = tmp_path / "out"
    done = prepare(chexpert(source, source / "train.csv"), out, 32, workers=1)
    (file,) = done.refused
    assert file.endswith("patient0/view2.png")
    with (out / "train_refused.csv").open(newline="") as written:
        (row,) = csv.DictReader(written)
    assert row["File"] == file
    assert row["Reason"].startswith("unreadable_image")


def test_a_repeated_run_makes_only_what_is_missing(source, tmp_path):
    out = tmp_path / "out"
    prepare(chexpert(source, source / "train.csv"), out, 32, workers=1)
    kept, lost = out / "train/train/patient0/view1.png", out / "train/train/patient1/view1.png"
    before = kept.stat().st_mtime_ns
    lost.unlink()
    prepare(chexpert(source, source / "train.csv"), out, 32, workers=1)
    assert kept.stat().st_mtime_ns == before
    assert lost.is_file()


def test_a_film_that_fails_while_it_is_written_leaves_nothing_under_its_name(source, tmp_path, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    target = tmp_path / "film.png"
    monkeypatch.setattr("app.files.os.replace", killed)
    with pytest.raises(KeyboardInterrupt):
        make_film(source / "train/patient0/view1.png", target, 32)
    assert not target.exists()


def test_films_that_collide_or_escape_are_refused(tmp_path):
    film = SourceFilm(tmp_path / "a.png", "train", "a", {})
    with pytest.raises(ConfigurationError, match=r"same file: .*a\.png and .*a\.png"):
        prepare([film, film], tmp_path, 32, workers=1)
    with pytest.raises(ConfigurationError, match="leads out"):
        prepare([SourceFilm(tmp_path / "a.png", "train", "../../a", {})], tmp_path, 32, workers=1)


def test_a_data_set_without_a_usable_film_says_why(tmp_path):
    film = SourceFilm(tmp_path / "nowhere.png", "train", "a", {})
    with pytest.raises(ConfigurationError, match="cannot be read"):
        prepare([film], tmp_path / "out", 32, workers=1)


def test_the_layout_is_checked_before_any_work(tmp_path):
    with pytest.raises(ConfigurationError, match="chexpert, mimic, nih, dicom"):
        commands.prepare("padchest", tmp_path, None, tmp_path, 32, 1)
    with pytest.raises(ConfigurationError, match="needs --labels"):
        commands.prepare("nih", tmp_path, None, tmp_path, 32, 1)
