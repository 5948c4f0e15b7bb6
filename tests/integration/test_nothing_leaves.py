"""Nothing leaves the machine: commands, training and imports look up no name, and write to their own folders alone.

The service itself is checked in ``test_privacy``.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.factories import example
from tests.integration.conftest import LONG_DEADLINES, environment, one_exporter
from tests.outward import Recorder
from tests.training.conftest import make_films, recipe  # noqa: F401 - a fixture

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parent.parent.parent
EVERY_MODULE = """
from importlib import import_module
from pkgutil import walk_packages
import app, training
for package in (app, training):
    for module in walk_packages(package.__path__, package.__name__ + "."):
        if not module.name.endswith(("__main__", "migrations.env")):
            import_module(module.name)
"""


@pytest.fixture
def recorder(tmp_path_factory) -> Recorder:
    """In a folder with a short name: loaders of data bind sockets in it, whose paths have at most 107 bytes."""
    return Recorder(tmp_path_factory.mktemp("r"))


def recorded(recorder: Recorder, *arguments: object) -> None:
    """Run Python with arguments to its end."""
    variables = environment(**LONG_DEADLINES) | recorder.environment
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr


def test_the_recorder_sees_lookups_connections_and_writes(recorder, tmp_path):
    (tmp_path / "own").mkdir()
    code = f"""
import contextlib, os, socket, sqlite3, subprocess, sys
from pathlib import Path
with contextlib.suppress(OSError): socket.getaddrinfo("somewhere.invalid", 443)
with contextlib.suppress(OSError): socket.socket(type=socket.SOCK_DGRAM).connect(("192.0.2.1", 443))
with contextlib.suppress(OSError): socket.create_connection(("127.0.0.1", 1))
Path({str(tmp_path)!r}, "foreign").write_text("")
Path({str(tmp_path)!r}, "own", "file").write_text("")
subprocess.run([sys.executable, "-c", "import os; os.mkdir({str(tmp_path / "below")!r})"])
"""
    recorded(recorder, "-c", code)
    assert recorder.beyond(tmp_path / "own") == [
        ("socket.getaddrinfo", "somewhere.invalid"),
        ("socket.connect", "192.0.2.1"),
        ("open", str(tmp_path / "foreign")),
        ("os.mkdir", str(tmp_path / "below")),
    ]


@pytest.mark.thorough
def test_importing_every_module_reaches_nothing(recorder):
    allowed = font_lists(recorder)
    recorded(recorder, "-c", EVERY_MODULE)
    assert recorder.beyond(*allowed) == []


@pytest.mark.thorough
def test_a_prediction_of_the_command_line_reaches_nothing(recorder, tmp_path):
    film, cache = tmp_path / "film.dcm", Path(os.environ["MEDPATCHNET_CACHE_DIR"])
    film.write_bytes(example("RG1_J2KR.dcm"))
    with one_exporter():
        recorded(recorder, "-m", "app.cli", "predict", film, "--json")
    assert recorder.beyond(cache) == []
    assert list(recorder.home.iterdir()) == []


@pytest.mark.thorough
def test_training_writes_to_its_folder_alone(recorder, tmp_path, recipe):  # noqa: F811
    data, work = tmp_path / "data", tmp_path / "work"
    for seed, name in enumerate(("train", "valid", "test")):
        make_films(data, name, 4, seed)
    config, allowed = tmp_path / "recipe.yaml", font_lists(recorder)
    config.write_text(yaml.safe_dump(recipe.model_copy(update={"epochs": 1}).model_dump(mode="json")))
    recorded(recorder, "-m", "training", "train", "--config", config, "--data", data, "--work", work, "--device", "cpu")
    assert (work / "best.pt").exists()
    assert recorder.beyond(work, *allowed) == []


def font_lists(recorder: Recorder) -> list[Path]:
    """Folders in which matplotlib, which draws the figures of a model card, keeps its list of fonts."""
    folders = [recorder.home / ".cache/matplotlib", recorder.home / ".config/matplotlib"]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    return folders
