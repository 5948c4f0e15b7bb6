"""What `validate` and `adopt` must not do: name foreign data, or use radiographs that are kept for the test."""

import re

import pytest

from app.patchnet import artifact
from tests.training.conftest import make_data, make_films, publish_one_step
from training import commands
from training.data.description import BY_LAYOUT

_EMBEDDED = re.compile(r"base64,[A-Za-z0-9+/=\s]+")
_TIME = re.compile(r"\d{4}-\d\d-\d\d(T[\d:.]+(Z|\+00:00))?")
_TEXTS = {".json", ".md", ".svg", ".html", ".yaml"}

pytestmark = pytest.mark.thorough


def texts(*folders):
    """The text of all files below some folders, and their names, in lower case and without embedded pictures."""
    files = [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
    written = [_EMBEDDED.sub("", path.read_text()) for path in files if path.suffix in _TEXTS]
    return "\n".join([*written, *(path.name for path in files)]).casefold()


def validated_and_adopted(model, data, out):
    """The report and the artifact of a model on the radiographs of a CSV file."""
    commands.validate(str(model), data, None, out / "report", 100, "cpu", gallery=True)
    commands.adopt(out / "report", out / "adopted", "1")
    return out / "report", out / "adopted"


def test_no_output_about_chexpert_names_data_of_others_or_validates_eighteen_films(recipe, tmp_path):
    (tmp_path / "chexpert").mkdir()
    data = make_data(tmp_path / "chexpert", BY_LAYOUT["chexpert"])
    published = publish_one_step(data, recipe, tmp_path)
    report, adopted = validated_and_adopted(published, data / "test.csv", tmp_path)
    everything = texts(data, published, report, adopted)
    assert "stanford" in everything
    for foreign in (r"\bnih\b", r"\bnih[-_]", "chestx-ray", "clinical center", "visual review"):
        assert not re.search(foreign, everything), foreign
    assert "validated" not in {record.status for record in artifact.read_manifest(adopted).findings}
    assert '"verdict": "adopt' not in (report / "report.json").read_text()


def test_no_film_of_the_test_split_influences_what_is_adopted(small_model, tmp_path):
    make_films(tmp_path, "valid", 44, seed=5)
    make_films(tmp_path, "test", 44, seed=6)
    first = content_of(small_model, tmp_path, "first")
    for file in (tmp_path / "test").iterdir():  # the same names, other pixels and labels
        file.write_bytes((tmp_path / "valid" / file.name).read_bytes())
    flip_labels(tmp_path / "test.csv")
    assert content_of(small_model, tmp_path, "second") == first
    flip_labels(tmp_path / "valid.csv")
    assert content_of(small_model, tmp_path, "third") != first


def content_of(model, folder, name):
    """The bytes of the artifact adopted on the validation films, by file and without dates."""
    out = folder / name
    out.mkdir()
    _, adopted = validated_and_adopted(model, folder / "valid.csv", out)
    return {
        path.name: _TIME.sub("", path.read_text()) if path.suffix in _TEXTS else path.read_bytes()
        for path in adopted.iterdir()
    }


def flip_labels(csv_file):
    text = csv_file.read_text()
    csv_file.write_text(text.replace("1.0", "x").replace("0.0", "1.0").replace("x", "0.0"))
