"""The command line, as a user runs it."""

import json
import re

import pytest
from PIL import Image

from tests.factories import example
from tests.integration.conftest import DECISIONS, medpatchnet

pytestmark = pytest.mark.integration


def png_size(path):
    with Image.open(path) as image:
        return image.size


@pytest.fixture
def films(tmp_path):
    for name in ("RG1_J2KR.dcm", "RG3_UNCR.dcm"):
        (tmp_path / name).write_bytes(example(name))
    return tmp_path


def test_demo_shows_the_findings_and_writes_the_overlay(tmp_path):
    result = medpatchnet("demo", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    for name in ("No Finding", "Pleural Effusion", "Support Devices"):
        assert name in result.stdout
    path = re.search(r"(/\S+overlay\.png)", result.stdout)[1]
    assert path == str(tmp_path / "overlay.png")
    width, height = png_size(path)
    assert width == 1841
    assert height > 1955  # the caption is below the radiograph


def test_predict_prints_the_body_of_the_service(films, client):
    result = medpatchnet("predict", "RG1_J2KR.dcm", "--json", cwd=films, operating_points_file=DECISIONS)
    assert result.returncode == 0, result.stderr
    (line,) = result.stdout.splitlines()
    printed, served = json.loads(line), client.post("/predict", content=example("RG1_J2KR.dcm")).json()
    assert printed.keys() == served.keys()
    for key in ("image", "findings", "warnings", "model"):
        assert printed[key] == served[key]


def test_predict_goes_on_after_a_bad_file_and_says_so(films):
    result = medpatchnet("predict", "RG3_UNCR.dcm", "RG1_J2KR.dcm", cwd=films)
    assert result.returncode == 1
    assert "not_a_chest_radiograph" in result.stderr
    assert "Pleural Effusion" in result.stdout


def test_explain_writes_numbers(films):
    result = medpatchnet("explain", "RG1_J2KR.dcm", "--class", "edema", "--out", "evidence.json", cwd=films)
    assert result.returncode == 0, result.stderr
    item = json.loads((films / "evidence.json").read_text())["explanations"][0]
    assert (item["finding"], item["exact"]) == ("Edema", True)


def test_explain_writes_a_picture_of_a_smoother_map(films):
    options = ("--class", "edema", "--offset", "32", "--out", "evidence.png")
    result = medpatchnet("explain", "RG1_J2KR.dcm", *options, cwd=films)
    assert result.returncode == 0, result.stderr
    width, height = png_size(films / "evidence.png")
    assert width == 1841
    assert height > 1955


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["explain", "RG1_J2KR.dcm", "--class", "Edema", "--out", "x.gif"], 2, ".png or .json"),
        (["explain", "RG1_J2KR.dcm", "--class", "Scoliosis", "--out", "x.png"], 1, "unknown_finding"),
        pytest.param(
            ["explain", "RG1_J2KR.dcm", "--class", "Edema", "--offset", "0", "--out", "x.png"],
            1,
            "invalid_query",
            marks=pytest.mark.thorough,
        ),
        pytest.param(["predict", "RG1_J2KR.dcm", "--model", "nobody"], 1, "artifact_error", marks=pytest.mark.thorough),
        (["serve", "--model", "nobody", "--port", "0"], 1, "artifact_error"),
        (["serve", "--host", "not-an-address"], 1, "cannot listen"),
    ],
)
def test_mistakes_end_with_a_clear_message_and_no_traceback(films, arguments, status, message):
    result = medpatchnet(*arguments, cwd=films)
    assert result.returncode == status
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_a_bad_setting_is_named(films):
    result = medpatchnet("serve", cwd=films, port=-1)
    assert result.returncode == 2
    assert "MEDPATCHNET_PORT" in result.stderr


@pytest.mark.thorough
def test_an_empty_file_is_refused(films):
    (films / "empty.png").touch()
    result = medpatchnet("predict", "empty.png", cwd=films)
    assert (result.returncode, "empty_body" in result.stderr) == (1, True)


def test_models_lists_the_artefacts(films):
    result = medpatchnet("models", cwd=films)
    assert result.returncode == 0, result.stderr
    assert "efficientnet_lite" in result.stdout


def test_models_cuts_no_name(films):
    from tests.artifacts import save_small_artifact

    name = "a-name-of-the-length-that-people-give-to-models-of-a-hospital"
    save_small_artifact(films, name)
    result = medpatchnet("models", cwd=films, models_dir=films)
    assert name in result.stdout


def test_the_version_is_printed(films):
    from app import __version__

    result = medpatchnet("--version", cwd=films)
    assert (result.returncode, result.stdout) == (0, f"medpatchnet {__version__}\n")
