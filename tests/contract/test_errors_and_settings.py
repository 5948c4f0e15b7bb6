"""Every error has a status, and settings come from the environment alone. What is documented: test_reference_pages."""

import os
import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from app.api.problems import STATUS
from app.settings import Settings
from tests.contract.reference_tables import domain_errors

ROOT = Path(__file__).resolve().parent.parent.parent

DOMAIN_ERRORS = domain_errors()


@pytest.mark.parametrize("error", DOMAIN_ERRORS)
def test_every_domain_error_has_a_status(error):
    assert 400 <= STATUS[error] < 600


def test_error_codes_are_unique():
    codes = [error.code for error in DOMAIN_ERRORS]
    assert len(codes) == len(set(codes))


def test_settings_come_from_the_environment(monkeypatch):
    for name in [name for name in os.environ if name.startswith("MEDPATCHNET_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MEDPATCHNET_MODEL", "a, b")
    monkeypatch.setenv("MEDPATCHNET_MAX_BODY_BYTES", "4096")
    settings = Settings()
    assert settings.model_names == ["a", "b"]
    assert settings.max_body_bytes == 4096
    with pytest.raises(ValidationError):
        settings.port = 1


def test_only_settings_read_the_environment():
    """But for three that others read or write: processes of the decode pool, torchrun's ranks, and Ray."""
    readers = {
        path.relative_to(ROOT).as_posix()
        for folder in ("app", "training")
        for path in (ROOT / folder).rglob("*.py")
        if re.search(r"os\.(environ|getenv)", path.read_text())
    }
    ray = {"app/batch/__init__.py", "app/batch/cluster.py"}
    assert readers == {"app/settings.py", "app/decoding/pool.py", "training/fit/distributed.py"} | ray
