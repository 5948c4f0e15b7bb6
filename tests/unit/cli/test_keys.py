"""The commands for API keys."""

import re

import pytest
from typer.testing import CliRunner

from app.access.key_use import KeyUse
from app.cli.main import app


@pytest.fixture
def keys(tmp_path, monkeypatch):
    """Run a command on a key file of the environment, with two keys in it."""
    monkeypatch.setenv("MEDPATCHNET_API_KEYS_FILE", str(tmp_path / "keys.json"))

    def run(*arguments):
        return CliRunner().invoke(app, ["keys", *arguments])

    for name in ("pacs", "ris"):
        assert run("new", name, "--scope", "predict").exit_code == 0
    return run


def ids(listed):
    return dict(reversed(pair) for pair in re.findall(r"([0-9a-f]{12})\W+(pacs|ris)\b", listed.stdout))


def test_keys_are_listed_with_their_last_use(keys, tmp_path):
    use = KeyUse(tmp_path / "keys.json.used")
    use.note(ids(keys("list"))["ris"])
    use.save()
    rows = {name: line for line in keys("list").stdout.splitlines() for name in ("pacs", "ris") if name in line}
    assert "–" in rows["pacs"]
    assert re.search(r"20\d\d-\d\d-\d\dT", rows["ris"])


def test_a_revoked_key_is_no_longer_listed(keys):
    identity = ids(keys("list"))["pacs"]
    assert keys("revoke", identity).stdout == f"revoked {identity} (pacs)\n"
    assert set(ids(keys("list"))) == {"ris"}
    assert keys("revoke", identity).exit_code == 1


def test_a_misspelt_setting_ends_a_command_with_the_one_that_was_meant(keys, monkeypatch):
    monkeypatch.setenv("MEDPATCHNET_API_KEY_FILE", "keys.json")
    result = keys("list")
    assert result.exit_code == 2
    assert "did you mean MEDPATCHNET_API_KEYS_FILE?" in result.stderr
