import pytest
import yaml

from app.errors import ConfigurationError
from tests.training.test_recipes import RUNS
from training.data.description import BY_LAYOUT, descriptions_beside, read_description, write_description
from training.recipe import read_recipe


def test_a_description_comes_back_from_its_file_and_is_kept_when_corrected(tmp_path):
    path = write_description(BY_LAYOUT["chexpert"], tmp_path)
    assert read_description(path) == BY_LAYOUT["chexpert"]
    path.write_text("name: corrected by hand\n")
    write_description(BY_LAYOUT["chexpert"], tmp_path)
    assert descriptions_beside([tmp_path / "train.csv", tmp_path / "valid.csv"])[0].name == "corrected by hand"


def test_data_without_a_description_has_none(tmp_path):
    assert descriptions_beside([tmp_path / "train.csv"]) == ()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("name: a\nlicense: typo\n", "license"),
        ("name: a\nderived: {Gout: Edema}\n", "Gout"),
        ("- a\n", "valid dictionary"),
        ("a: [", "line 1"),
    ],
)
def test_a_wrong_description_is_refused_with_the_reason(tmp_path, content, reason):
    (tmp_path / "dataset.yaml").write_text(content)
    with pytest.raises(ConfigurationError, match=reason):
        read_description(tmp_path / "dataset.yaml")


@pytest.mark.parametrize("path", sorted((RUNS / "datasets").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_shipped_descriptions_state_everything(path):
    description = read_description(path)
    assert all(value for value in description.model_dump().values())
    assert description.derived == {"Enlarged Cardiomediastinum": "Cardiomegaly"}


@pytest.mark.parametrize("path", sorted(RUNS.glob("chest-*.yaml")), ids=lambda path: path.stem)
def test_the_shipped_recipes_name_descriptions_that_exist(path):
    recipe = read_recipe(path)
    assert recipe.data.descriptions
    for name in recipe.data.descriptions:
        read_description(path.parent / name)


def test_the_written_file_names_every_field(tmp_path):
    written = yaml.safe_load(write_description(BY_LAYOUT["dicom"], tmp_path).read_text())
    assert {"citation", "licence", "derived", "intended_use"} < set(written)
