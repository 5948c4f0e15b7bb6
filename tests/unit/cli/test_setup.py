"""`medpatchnet setup`: the secret files of docker-compose.yml."""

import json
import re
import ssl

import pytest
from typer.testing import CliRunner

from app.access.keys import find_key, read_keys
from app.cli.main import app
from app.cli.setup import FILES


def setup(folder, *options):
    return CliRunner().invoke(app, ["setup", str(folder), *options])


def archive_users(folder):
    """The users of Orthanc, after a check that the service knows its password."""
    users = json.loads((folder / "orthanc/users.json").read_text())["RegisteredUsers"]
    assert users["medpatchnet"] == (folder / "pacs/orthanc-password").read_text().strip()
    return users


def contents(folder):
    return {file.path: (folder / file.path).read_bytes() for file in FILES}


@pytest.fixture
def made(tmp_path):
    result = setup(tmp_path)
    assert result.exit_code == 0, result.output
    return tmp_path, result.stdout


def test_every_file_is_made_and_its_credential_is_printed(made):
    folder, printed = made
    assert [file.path for file in FILES] == re.findall(r"^made: ([^\s]+)", printed, re.MULTILINE)
    (key,) = re.findall(r"mpn_\S+", printed)
    caller = find_key(read_keys(folder / "keys/api-keys.json"), key)
    assert caller is not None
    assert set(caller.scopes) == {"predict", "explain", "report", "analyze"}
    assert (folder / "grafana/admin-password").read_text() in printed


def test_the_archive_and_the_service_have_the_same_password(made):
    folder, printed = made
    users = archive_users(folder)
    assert users["reader"] in printed
    assert users["reader"] != users["medpatchnet"]


def test_a_second_run_changes_nothing_and_names_what_exists(made):
    folder, _ = made
    before = contents(folder)
    result = setup(folder)
    assert contents(folder) == before
    assert [file.path for file in FILES] == re.findall(r"^exists: ([^\s]+)", result.stdout, re.MULTILINE)
    assert "made" not in result.stdout
    assert "mpn_" not in result.stdout


@pytest.mark.parametrize("lost", [file.path for file in FILES if file.path != "tls/tls.key"])
def test_only_a_lost_file_is_made_again_and_fits_the_others(made, lost):
    folder, _ = made
    before = contents(folder)
    (folder / lost).unlink()
    assert re.findall(r"^made: (\S+)", setup(folder).stdout, re.MULTILINE) == [lost]
    after = contents(folder)
    assert {path for path in before if before[path] != after[path]} <= {lost}
    assert archive_users(folder).keys() == {"medpatchnet", "reader"}
    ssl.create_default_context().load_cert_chain(folder / "tls/tls.crt", folder / "tls/tls.key")


def test_no_key_is_made_for_a_certificate_of_the_site(made):
    folder, _ = made
    (folder / "tls/tls.key").unlink()
    result = setup(folder)
    assert result.exit_code == 1
    assert "tls/tls.crt has no tls/tls.key" in result.stderr


def test_the_certificate_names_the_host(tmp_path):
    setup(tmp_path, "--hostname", "chest-ai.example", "--hostname", "10.0.0.7")
    (certificate,) = ssl.create_default_context(cafile=tmp_path / "tls/tls.crt").get_ca_certs()
    assert certificate["subjectAltName"] == (("DNS", "chest-ai.example"), ("IP Address", "10.0.0.7"))


def test_nobody_else_can_read_the_files(made):
    folder, _ = made
    for file in FILES:
        assert (folder / file.path).stat().st_mode & 0o077 == 0
        assert (folder / file.path).parent.stat().st_mode & 0o077 == 0


def test_the_check_names_a_missing_file_and_what_makes_it(made):
    folder, _ = made
    assert setup(folder, "--check").exit_code == 0
    (folder / "keys/api-keys.json").unlink()
    result = setup(folder, "--check")
    assert result.exit_code == 1
    assert "keys/api-keys.json" in result.stderr
    assert "docker compose run --rm setup" in result.stderr
    assert not (folder / "keys/api-keys.json").exists()


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("keys/api-keys.json", "is not a list of name, scopes and sha256"),
        ("tls/tls.crt", "is not a PEM certificate"),
        ("orthanc/users.json", "has no user 'medpatchnet'"),
    ],
)
def test_an_invalid_file_is_named_and_not_quoted(made, path, reason):
    folder, _ = made
    (folder / path).write_text("planted")
    if path == "orthanc/users.json":
        (folder / "pacs/orthanc-password").unlink()
    result = setup(folder, "--check") if path == "keys/api-keys.json" else setup(folder)
    assert result.exit_code == 1
    assert path in result.stderr
    assert reason in result.stderr
    assert "planted" not in result.stderr


def test_a_folder_that_the_engine_made_in_place_of_a_file_is_replaced(tmp_path):
    (tmp_path / "orthanc/users.json").mkdir(parents=True)
    assert setup(tmp_path).exit_code == 0
    assert (tmp_path / "orthanc/users.json").is_file()
