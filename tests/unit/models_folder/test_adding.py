"""`models add`, `export`, `verify`, `remove` and `list`."""

import json
import shutil
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from zipfile import ZipFile

import pytest
from typer.testing import CliRunner

from app.cli.main import app
from app.errors import ArtifactError, ConfigurationError
from app.models_folder.adding import Addition, add
from app.patchnet import artifact
from app.patchnet.checkpoint import ImportedWeights
from tests.artifacts import save_small_artifact
from tests.authors import authors_checkpoint, authors_model

ABOUT = ImportedWeights("", "a file", "medpatchnet models add", backbone="efficientnet_b0")


@pytest.fixture
def models(tmp_path, monkeypatch):
    folder = tmp_path / "models"
    folder.mkdir()
    monkeypatch.setenv("MEDPATCHNET_MODELS_DIR", str(folder))
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return save_small_artifact(tmp_path_factory.mktemp("elsewhere"), "small")


def run(*arguments, **options):
    return CliRunner().invoke(app, ["models", *map(str, arguments)], **options)


def put(made, models, *names):
    for name in names:
        shutil.copytree(made, models / name)


def add_to(models, source, **options):
    return add(str(source), Addition(models, **options), ABOUT, lambda *_: None)


def test_an_artifact_travels_in_one_file(made, models, tmp_path):
    target = tmp_path / "small.zip"
    assert run("add", made).exit_code == 0
    assert run("export", "small", target).exit_code == 0
    assert run("remove", "small", "--yes").exit_code == 0
    assert artifact.available(models) == []
    assert run("add", target).exit_code == 0
    assert artifact.load(models / "small").manifest == artifact.load(made).manifest
    assert sorted(path.name for path in models.iterdir()) == ["small"]


@pytest.mark.thorough
def test_an_artifact_can_get_another_name(made, models):
    add_to(models, made, name="other")
    assert artifact.load(models / "other").manifest.name == "other"


@pytest.mark.thorough
def test_a_checkpoint_is_added_by_its_file(models, tmp_path):
    (tmp_path / "Ours_weights.pt").write_bytes(authors_checkpoint(authors_model(backbone="efficientnet_b0")))
    assert add_to(models, tmp_path / "Ours_weights.pt").name == "ours"
    assert artifact.load(models / "ours").manifest.history[0].command == "medpatchnet models add"


@pytest.mark.thorough
def test_a_zip_file_is_added_from_a_url_and_a_changed_one_is_refused(made, models, tmp_path):
    served = tmp_path / "served"
    served.mkdir()
    put(made, models, "small")
    run("export", "small", served / "small.zip")
    server = ThreadingHTTPServer(("127.0.0.1", 0), lambda *a: SimpleHTTPRequestHandler(*a, directory=str(served)))
    thread = Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{server.server_address[1]}/small.zip"
    try:
        add_to(models, url, name="first")
        with ZipFile(served / "small.zip", "a") as archive:
            archive.writestr("small/more.txt", "changed")
        with pytest.raises(ArtifactError, match="it is refused"):
            add_to(models, url, name="second")
        with pytest.raises(ArtifactError, match="status 404"):
            add_to(models, f"{url}x")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert artifact.available(models) == ["first", "small"]


def damaged(made, target):
    """An exported artifact whose weights were changed."""
    with ZipFile(target, "w") as archive:
        archive.writestr("small/manifest.json", (made / "manifest.json").read_bytes())
        archive.writestr("small/model.safetensors", (made / "model.safetensors").read_bytes()[:-1] + b"x")


def two_folders(made, target):
    with ZipFile(target, "w") as archive:
        archive.writestr("a/manifest.json", "{}")
        archive.writestr("b/manifest.json", "{}")


def leading_out(made, target):
    with ZipFile(target, "w") as archive:
        archive.writestr("../manifest.json", "{}")


def cut(made, target):
    damaged(made, target)
    target.write_bytes(target.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (damaged, "the sha256 differs"),
        (two_folders, "does not hold the files of one artifact"),
        (leading_out, "does not hold the files of one artifact"),
        (cut, "not a complete zip file"),
    ],
)
def test_a_damaged_file_is_refused_and_leaves_nothing(made, models, tmp_path, make, message):
    make(made, tmp_path / "bad.zip")
    with pytest.raises(ArtifactError, match=message):
        add_to(models, tmp_path / "bad.zip")
    assert list(models.iterdir()) == []
    assert {path.name for path in tmp_path.iterdir()} == {"models", "bad.zip"}


def test_something_else_is_refused(models, tmp_path):
    (tmp_path / "x.txt").touch()
    for source, message in (("x.txt", "not a checkpoint"), ("missing", "neither a file nor a folder")):
        with pytest.raises(ConfigurationError, match=message):
            add_to(models, tmp_path / source)


def test_verify_names_the_damaged_artifact(made, models):
    put(made, models, "small", "broken")
    weights = models / "broken" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    done = run("verify")
    assert done.exit_code == 1
    assert "small: intact" in done.stdout
    assert "broken: " in done.stderr
    assert run("verify", "small").exit_code == 0


def test_the_list_has_origin_and_status_and_names_what_cannot_be_read(made, models):
    put(made, models, "small", "broken")
    manifest = json.loads((models / "broken" / "manifest.json").read_text())
    (models / "broken" / "manifest.json").write_text(json.dumps(manifest | {"extra": 1}))
    done = run("list")
    assert done.exit_code == 0
    assert "14 imported" in done.stdout
    assert "extra: Extra inputs" in done.stdout


def test_remove_asks_and_takes_names_only(made, models):
    put(made, models, "small")
    assert run("remove", "small", input="n\n").exit_code == 1
    assert run("remove", str(made), "--yes").exit_code == 1
    assert artifact.available(models) == ["small"]
    assert made.is_dir()


def test_pull_asks_for_the_licence_before_anything_is_downloaded(models):
    done = run("pull", "medicalpatchnet", input="n\n", env={"HF_ENDPOINT": "http://127.0.0.1:9"})
    assert done.exit_code == 1
    assert "licence: MIT" in done.stderr
    assert "the licence was not accepted" in done.stderr
    assert list(models.iterdir()) == []


def test_the_catalogue_is_listed(models):
    done = run("list", "--catalogue")
    assert "medicalpatchnet-image" in done.stdout
