"""The command line, as a user runs it. A process costs seconds, so most commands run in that of the tests."""

import json
import re

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from app.cli.main import app
from tests.artifacts import save_small_artifact
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


@pytest.fixture
def run(films, monkeypatch):
    """Run a command in this process, in the folder of the films; settings as keyword arguments."""

    def invoke(*arguments: str, **settings: object) -> Result:
        monkeypatch.chdir(films)
        return CliRunner().invoke(app, arguments, env={f"MEDPATCHNET_{k.upper()}": str(v) for k, v in settings.items()})

    return invoke


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


def test_predict_goes_on_after_a_bad_file_and_says_so(run):
    result = run("predict", "RG3_UNCR.dcm", "RG1_J2KR.dcm")
    assert result.exit_code == 1
    assert "not_a_chest_radiograph" in result.stderr
    assert "Pleural Effusion" in result.stdout


def test_explain_writes_numbers(films, run):
    result = run("explain", "RG1_J2KR.dcm", "--class", "edema", "--out", "evidence.json")
    assert result.exit_code == 0, result.stderr
    item = json.loads((films / "evidence.json").read_text())["explanations"][0]
    assert (item["finding"], item["exact"]) == ("Edema", True)


def test_explain_writes_a_picture_of_a_smoother_map(films, run):
    options = ("--class", "edema", "--offset", "32", "--out", "evidence.png")
    result = run("explain", "RG1_J2KR.dcm", *options)
    assert result.exit_code == 0, result.stderr
    width, height = png_size(films / "evidence.png")
    assert width == 1841
    assert height > 1955


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["explain", "RG1_J2KR.dcm", "--class", "Edema", "--out", "x.gif"], 2, ".png or .json"),
        (["explain", "RG1_J2KR.dcm", "--class", "Scoliosis", "--out", "x.png"], 1, "unknown_finding"),
        (["explain", "RG1_J2KR.dcm", "--class", "Edema", "--offset", "0", "--out", "x.png"], 1, "invalid_query"),
        (["predict", "RG1_J2KR.dcm", "--model", "nobody"], 1, "artifact_error"),
    ],
)
def test_mistakes_end_with_a_clear_message(run, arguments, status, message):
    result = run(*arguments)
    assert (result.exit_code, message in result.stderr) == (status, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["serve", "--model", "nobody", "--port", "0"], "artifact_error"),
        pytest.param(["serve", "--host", "not-an-address"], "cannot listen", marks=pytest.mark.thorough),
    ],
)
def test_a_service_that_cannot_start_ends_with_a_clear_message_and_no_traceback(films, arguments, message):
    result = medpatchnet(*arguments, cwd=films)
    assert (result.returncode, message in result.stderr) == (1, True)
    assert "Traceback" not in result.stderr


def test_a_bad_setting_is_named(films):
    result = medpatchnet("serve", cwd=films, port=-1)
    assert result.returncode == 2
    assert "MEDPATCHNET_PORT" in result.stderr


def test_an_empty_file_is_refused(films, run):
    (films / "empty.png").touch()
    result = run("predict", "empty.png")
    assert (result.exit_code, "empty_body" in result.stderr) == (1, True)


def test_models_lists_the_artefacts(run):
    result = run("models")
    assert result.exit_code == 0, result.stderr
    assert "efficientnet_lite" in result.stdout


def test_models_cuts_no_name(films, run):
    name = "a-name-of-the-length-that-people-give-to-models-of-a-hospital"
    save_small_artifact(films, name)
    result = run("models", models_dir=films)
    assert name in result.stdout


def test_the_version_is_printed(run):
    from app import __version__

    result = run("--version")
    assert (result.exit_code, result.stdout) == (0, f"medpatchnet {__version__}\n")
